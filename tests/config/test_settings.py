"""What the environment means."""

import os
import secrets
import sys
from pathlib import Path

import pytest

from luma_mcp.cli import run
from luma_mcp.config.settings import Settings, SettingsError
from luma_mcp.domain.errors import LumaError


def token(**environment: str) -> str | None:
    secret = Settings.from_environment(environment).token
    return secret.get_secret_value() if secret else None


def read(**environment: str) -> Settings:
    return Settings.from_environment(environment)


def hint(**environment: str) -> str:
    return Settings.from_environment(environment).token_hint


@pytest.mark.parametrize("name", ["LUMA_TOKEN", "LUMAAI_API_KEY", "LUMA_API_KEY"])
def test_the_token_is_read_under_each_of_its_names(name: str) -> None:
    assert token(**{name: "luma-1"}) == "luma-1"


def test_the_first_name_wins() -> None:
    assert token(LUMA_API_KEY="third", LUMAAI_API_KEY="second", LUMA_TOKEN="first") == "first"


@pytest.mark.parametrize("text", [" luma-1\n", '"luma-1"', "'luma-1'", ' " luma-1 " '])
def test_spaces_and_quotes_that_came_with_copying_are_dropped(text: str) -> None:
    assert token(LUMA_TOKEN=text) == "luma-1"


@pytest.mark.parametrize(
    "text",
    [
        "${LUMA_TOKEN}",
        "$LUMA_TOKEN",
        "${env:LUMA_TOKEN}",
        "{env:LUMA_TOKEN}",
        "${{ secrets.LUMA_TOKEN }}",
        "${input:luma-token}",
        "${LUMA_TOKEN:-}",
        "${LUMA_TOKEN:-x}",
        "{{LUMA_TOKEN}}",
        "{file:~/token}",
        "%LUMA_TOKEN%",
        "$env:LUMA_TOKEN",
        "$(LUMA_TOKEN)",
        "${1}",
    ],
)
def test_a_variable_that_the_host_left_unexpanded_is_no_token(text: str) -> None:
    assert token(LUMA_TOKEN=text) is None
    assert text in hint(LUMA_TOKEN=text)


def test_an_unexpanded_name_gives_way_to_one_that_is_set() -> None:
    assert token(LUMA_TOKEN="${LUMA_TOKEN}", LUMA_API_KEY="luma-1") == "luma-1"


@pytest.mark.parametrize("text", ["luma 1", "luma\n1", "lumä-1", "luma\x001"])
def test_what_cannot_be_in_a_header_is_no_token(text: str) -> None:
    assert token(LUMA_TOKEN=text) is None


def test_the_token_shows_in_no_repr() -> None:
    settings = Settings.from_environment({"LUMA_TOKEN": "luma-secret"})

    assert "luma-secret" not in repr(settings) + str(settings) + settings.token_hint + settings.model_dump_json()


def test_defaults_need_nothing() -> None:
    settings = Settings.from_environment({})

    assert settings.base_url == "https://api.lumalabs.ai/dream-machine/v1"
    assert settings.token is None
    assert settings.read_only is False
    assert settings.log_level == "WARNING"


def test_the_default_folder_is_the_persons_own_and_never_the_working_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.delenv("XDG_VIDEOS_DIR", raising=False)
    folder = Settings.from_environment({}).output_folder

    assert folder.is_absolute()
    assert folder.name == "dream-machine"
    assert not folder.is_relative_to(Path.cwd())
    assert not folder.exists()


def test_the_default_ledger_is_the_persons_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/home/somebody/data")
    monkeypatch.setenv("HOME", "/home/somebody")
    ledger_path = Settings.from_environment({}).ledger_file

    assert ledger_path.is_relative_to("/home/somebody")
    assert ledger_path.parts[-2:] == ("dream-machine-mcp", "purchases.sqlite3")
    assert not ledger_path.exists()


def test_a_folder_may_begin_at_home() -> None:
    assert Settings.from_environment({"LUMA_OUTPUT_DIR": "~/films"}).output_folder == Path.home() / "films"


def test_the_sdks_name_for_the_base_url_is_read_too() -> None:
    url = "http://127.0.0.1:8765/dream-machine/v1"

    assert Settings.from_environment({"LUMAAI_BASE_URL": url + "/"}).base_url == url


BOTH = ("agents", "dream_machine")


@pytest.mark.parametrize(
    ("variables", "backends", "keys"),
    [
        ({}, BOTH, (None, None)),
        ({"LUMA_TOKEN": "luma-1"}, ("dream_machine",), ("luma-1", None)),
        ({"LUMA_TOKEN": "luma-api-1"}, ("agents",), (None, "luma-api-1")),
        (
            {"LUMAAI_API_KEY": "luma-api-1", "LUMA_API_KEY": "luma-1"},
            ("agents", "dream_machine"),
            ("luma-1", "luma-api-1"),
        ),
        ({"LUMA_TOKEN": "luma-1", "LUMA_AGENTS_API_KEY": "key-a"}, BOTH, ("luma-1", "key-a")),
        ({"LUMA_TOKEN": "luma-api-1", "LUMA_AGENTS_API_KEY": "key-a"}, ("agents",), (None, "luma-api-1")),
        ({"LUMA_AGENTS_API_KEY": "${X}"}, BOTH, (None, None)),
    ],
)
def test_a_key_says_which_api_it_is_for(
    variables: dict[str, str], backends: tuple[str, ...], keys: tuple[str | None, str | None]
) -> None:
    settings = Settings.from_environment(variables)

    assert settings.backends == backends
    assert (settings.key, settings.agents_key) == keys
    assert all(key not in repr(settings) for key in keys if key)


@pytest.mark.parametrize(
    ("variables", "dream_machine", "agents"),
    [
        ({}, "https://api.lumalabs.ai/dream-machine/v1", "https://agents.lumalabs.ai/v1"),
        (
            {"LUMA_BASE_URL": "http://127.0.0.1:8765/dream-machine/v1"},
            "http://127.0.0.1:8765/dream-machine/v1",
            "http://127.0.0.1:8765/v1",
        ),
        (
            {"LUMA_AGENTS_BASE_URL": "http://localhost:8765/v1"},
            "http://localhost:8765/dream-machine/v1",
            "http://localhost:8765/v1",
        ),
        (
            # As the SDK of the Agents API has it.
            {"LUMA_BASE_URL": "https://agents.lumalabs.ai/v1/"},
            "https://api.lumalabs.ai/dream-machine/v1",
            "https://agents.lumalabs.ai/v1",
        ),
        (
            {"LUMA_BASE_URL": "http://127.0.0.1:1/v1"},
            "http://127.0.0.1:1/dream-machine/v1",
            "http://127.0.0.1:1/v1",
        ),
        (
            {"LUMA_BASE_URL": "http://127.0.0.1:1/dream-machine/v1", "LUMA_AGENTS_BASE_URL": "https://h.example/v1"},
            "http://127.0.0.1:1/dream-machine/v1",
            "https://h.example/v1",
        ),
    ],
)
def test_each_api_has_its_address(variables: dict[str, str], dream_machine: str, agents: str) -> None:
    settings = Settings.from_environment(variables)

    assert (settings.base_url, settings.agents_base_url) == (dream_machine, agents)
    assert settings.accounts["dream_machine"] != settings.accounts["agents"]


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("LUMA_BASE_URL", "http://example.com", "must begin with https://"),
        ("LUMA_BASE_URL", "ftp://127.0.0.1", "must begin with https://"),
        ("LUMA_BASE_URL", "https://me:secret@example.com", "must be a plain URL"),
        ("LUMA_BASE_URL", "example.com", "must be a plain URL"),
        ("LUMA_BASE_URL", "https://[broken", "LUMA_BASE_URL"),
        ("LUMA_AGENTS_BASE_URL", "http://example.com/v1", "must begin with https://"),
        ("LUMA_OUTPUT_DIR", "out", "must be an absolute path"),
        ("LUMA_READ_ONLY", "perhaps", "valid boolean"),
        ("LUMA_TOOLSETS", "video,sound", "'video', 'image'"),
        ("LUMA_LOG_LEVEL", "loud", "'DEBUG'"),
        ("LUMA_BASE_URL", "https://example.com:port", "Port"),
        ("LUMA_BASE_URL", "https://example.com:0", "must be a plain URL"),
        ("LUMA_CALLBACK_URL", "javascript:alert(1)", "must be an https URL"),
        ("LUMA_CALLBACK_URL", "http://hooks.example.com/luma", "must be an https URL"),
        ("LUMA_CALLBACK_URL", "https://hooks.example.com:99999", "Port"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_with_the_reason(name: str, text: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} cannot be used: ") as caught:
        Settings.from_environment({name: text})

    assert reason in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["https://hooks.example.com/luma", "http://127.0.0.1:9000/luma"])
def test_callbacks_go_by_https_or_stay_on_this_machine(url: str) -> None:
    assert read(LUMA_CALLBACK_URL=url).callback_url == url


def test_words_are_read_as_they_are_meant() -> None:
    settings = Settings.from_environment(
        {"LUMA_LOG_LEVEL": "debug", "LUMA_READ_ONLY": "true", "LUMA_TOOLSETS": "account , video"}
    )

    assert settings.log_level == "DEBUG"
    assert settings.read_only is True
    assert settings.toolsets == ("account", "video")


def test_the_process_environment_is_read_when_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUMA_TOKEN", "luma-1")
    secret = Settings.from_environment().token

    assert secret is not None
    assert secret.get_secret_value() == "luma-1"


def test_folders_are_separated_as_in_path(tmp_path: Path) -> None:
    settings = read(LUMA_INPUT_DIRS=os.pathsep.join([str(tmp_path / "a"), "~/pictures", " "]), LUMA_OUTPUT_DIR="/out")

    assert settings.readable_folders == (tmp_path / "a", Path("~/pictures").expanduser(), Path("/out"))


def test_a_folder_that_depends_on_where_the_server_was_started_is_refused() -> None:
    with pytest.raises(SettingsError, match="LUMA_INPUT_DIRS cannot be used: it must be an absolute path"):
        read(LUMA_INPUT_DIRS="pictures")


@pytest.mark.parametrize(
    "bucket",
    [
        "s3://b/in",
        "gs://b",
        "az://c/in?account=mine",
        "s3://b?endpoint=https://s3.example&region=eu",
        "s3://b?endpoint=http://127.0.0.1:9000",
    ],
)
def test_a_bucket_is_taken(bucket: str) -> None:
    assert read(LUMA_UPLOAD_URL=bucket).upload_url == bucket


@pytest.mark.parametrize(
    ("bucket", "reason"),
    [
        ("https://b.s3.amazonaws.com", "it must be a bucket"),
        ("s3://", "it must be a bucket"),
        ("s3://key:secret@b/in", "it must hold no credentials"),
        ("s3://b?secret=x", "its options may be"),
        ("s3://b?endpoint=http://s3.example", "its endpoint must begin with https"),
    ],
)
def test_what_is_no_bucket_is_refused(bucket: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=f"LUMA_UPLOAD_URL cannot be used: {reason}"):
        read(LUMA_UPLOAD_URL=bucket)


def test_a_template_that_cannot_be_filled_in_is_refused() -> None:
    with pytest.raises(SettingsError, match="LUMA_OUTPUT_TEMPLATE cannot be used: it needs"):
        read(LUMA_OUTPUT_TEMPLATE="{prompt}")


def test_a_template_may_be_one_field_and_no_variable() -> None:
    assert read(LUMA_OUTPUT_TEMPLATE="{id}").output_template == "{id}"
    assert read(LUMA_OUTPUT_TEMPLATE="${LUMA_OUTPUT_TEMPLATE}").output_template == "{prompt}-{short_id}"


@pytest.mark.parametrize(
    "text",
    [
        "luma-...",
        "luma-api-...",
        "luma-xxxxxxxx",
        "your-key",
        "<your-key>",
        "YOUR_LUMA_API_KEY",
        "changeme",
        "luma-api-",
    ],
)
def test_what_only_stands_for_a_key_is_none(text: str) -> None:
    settings = Settings.from_environment({"LUMA_TOKEN": text})

    assert (settings.key, settings.agents_key) == (None, None)
    assert "which only stands for a key" in settings.token_hint or "cannot be in a key" in settings.token_hint


@pytest.mark.parametrize("key", ["luma-api-a8Yourx3xxxQexample9", "d0c3e1f7-luma-5f", "key12345", "luma-api-tokenQ81"])
def test_a_real_key_is_not_taken_for_a_placeholder(key: str) -> None:
    settings = Settings.from_environment({"LUMA_TOKEN": key})

    assert key in (settings.key, settings.agents_key)


@pytest.mark.parametrize(
    "name",
    [
        "LUMA_MAX_USD_PER_CALL",
        "LUMA_MAX_USD_PER_DAY",
        "LUMA_MIN_CREDIT_USD",
        "LUMA_CONFIRM_ABOVE_USD",
        "LUMA_READ_ONLY",
        "LUMA_TOOLSETS",
        "LUMA_LEDGER",
        "LUMA_HTTP_TOKENS",
        "LUMA_HTTP_ALLOWED_HOSTS",
        "LUMA_HTTP_HOST",
    ],
)
@pytest.mark.parametrize("text", ["${CAP}", "${CAP:-}", "${env:CAP}", "${input:cap}", "{{cap}}", "%CAP%", "$CAP"])
def test_a_safety_setting_that_the_host_did_not_replace_starts_nothing(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match="which the host did not replace") as caught:
        Settings.from_environment({name: text})

    assert str(caught.value).startswith(f"{name} holds ")


def test_a_field_of_a_form_that_was_left_empty_is_off_and_told() -> None:
    settings = Settings.from_environment({"LUMA_MAX_USD_PER_DAY": "${user_config.max_usd_per_day}"})

    assert settings.max_usd_per_day is None
    assert settings.notes == ("LUMA_MAX_USD_PER_DAY was left empty, so it has no effect.",)


def test_another_setting_that_the_host_did_not_replace_is_told() -> None:
    settings = Settings.from_environment({"LUMA_OUTPUT_DIR": "${workspaceFolder}/out"})

    assert settings.output_dir is None
    assert settings.notes == (
        "LUMA_OUTPUT_DIR holds ${workspaceFolder}, which the host did not replace, so it has no effect.",
    )


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("LUMA_MAX_USD_DAY", "LUMA_MAX_USD_PER_DAY"),
        ("LUMA_MAX_USD_PER_DAYS", "LUMA_MAX_USD_PER_DAY"),
        ("LUMA_READONLY", "LUMA_READ_ONLY"),
        ("luma_max_usd_per_day", "LUMA_MAX_USD_PER_DAY"),
        ("LUMA_SOMETHING_ELSE", None),
    ],
)
def test_a_misspelt_name_is_told_with_the_near_one(name: str, meant: str | None) -> None:
    (note,) = Settings.from_environment({name: "1"}).notes

    assert note.startswith(f"{name} is no setting of this server, so it has no effect.")
    assert note.endswith(f"Did you mean {meant}?") if meant else "Did you mean" not in note


def test_the_names_of_luma_s_own_programs_are_no_mistakes() -> None:
    names = ("LUMA_TOKEN", "LUMA_API_KEY", "LUMAAI_API_KEY", "LUMA_AGENTS_API_KEY", "LUMA_CUSTOM_HEADERS", "LUMA_LOG")

    assert Settings.from_environment(dict.fromkeys(names, "k3y")).notes == ()


@pytest.mark.parametrize(
    "token",
    [
        "changeme-changeme",
        "password-password-1",
        "aaaaaaaaaaaaaaaaaaaa",
        "abcabcabcabcabcabc",
        "my-secret-token-123456",
        "tooShort1x",
        "luma-dream-machine-token-1",
        "correct-horse-battery-staple",
        "CORRECTHORSEBATTERYSTAPLE",
        "abcdefghijklmnop1234",
        "0123456789abcdefghij",
        "qwertzuiop-asdfghjkl-1",
        "team-token-2026-2026-1",
    ],
)
def test_a_bearer_token_that_can_be_guessed_is_refused(token: str) -> None:
    with pytest.raises(SettingsError, match="be random") as caught:
        Settings.from_environment({"LUMA_HTTP_TOKENS": token})

    assert token not in str(caught.value)


@pytest.mark.parametrize("text", ["An na:{}", "1a:{}", "anna:b:{}", ":{}", "{} {}", "{}:"])
def test_a_name_that_is_none_makes_nobody_the_owner(text: str) -> None:
    token = "zu8Hq2Lw0vXk4RtB"
    with pytest.raises(SettingsError, match="each is a token or NAME:TOKEN") as caught:
        Settings.from_environment({"LUMA_HTTP_TOKENS": text.format(token, token)})

    assert token not in str(caught.value)


@pytest.mark.parametrize("amount", ["inf", "-inf", "nan", "1e400"])
@pytest.mark.parametrize(
    "name",
    ["MAX_USD_PER_CALL", "MAX_USD_PER_DAY", "MAX_USD_PER_PERSON_PER_DAY", "MIN_CREDIT_USD", "CONFIRM_ABOVE_USD"],
)
def test_an_amount_is_a_number_of_dollars(name: str, amount: str) -> None:
    with pytest.raises(SettingsError, match=f"LUMA_{name} cannot be used"):
        Settings.from_environment({f"LUMA_{name}": amount})


def test_random_bearer_tokens_are_taken() -> None:
    tokens = [secrets.token_urlsafe(24) for _ in range(200)] + [secrets.token_hex(16) for _ in range(200)]

    assert len(Settings.from_environment({"LUMA_HTTP_TOKENS": ",".join(tokens)}).http_tokens) == 400


@pytest.mark.parametrize("name", ["LUMA_OUTPUT_DIR", "LUMA_INPUT_DIRS", "LUMA_LEDGER"])
def test_a_home_folder_that_does_not_exist_is_said(name: str) -> None:
    with pytest.raises(SettingsError, match="there is no such home folder"):
        Settings.from_environment({name: "~nosuchuser/x"})


def test_without_a_home_folder_the_defaults_say_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_videos_path", lambda *_a, **_k: Path("~/Videos"))
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_a, **_k: Path("~/.local/share/x"))
    settings = Settings.from_environment({})

    for field, name in (("output_folder", "LUMA_OUTPUT_DIR"), ("ledger_file", "LUMA_LEDGER")):
        with pytest.raises(LumaError) as caught:
            getattr(settings, field)
        assert name in caught.value.hint


@pytest.mark.skipif(sys.platform == "win32", reason="users of POSIX")
def test_a_user_without_a_home_is_told_what_to_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A container's user has no entry in the table of users."""
    import pwd

    def missing(_number: object) -> None:
        raise KeyError("uid not found")

    monkeypatch.setattr(pwd, "getpwuid", missing)
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_VIDEOS_DIR"):
        monkeypatch.delenv(name, raising=False)
    settings = Settings.from_environment({"LUMA_TOKEN": "k3y"})
    for read, sentence in (
        (lambda: settings.output_folder, "Set LUMA_OUTPUT_DIR to an absolute path, or HOME"),
        (lambda: settings.ledger_file, "Set LUMA_LEDGER to an absolute path, or HOME"),
    ):
        with pytest.raises(LumaError) as caught:
            read()
        assert "This process has no home folder" in str(caught.value)
        assert sentence in caught.value.full_text

    assert run(["config", "codex"]) == 1
    assert "This process has no home folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "address", "path"),
    [
        ("LUMA_BASE_URL", "https://api.lumalabs.ai", "/dream-machine/v1"),
        ("LUMA_BASE_URL", "https://api.lumalabs.ai/dream-machine", "/dream-machine/v1"),
        ("LUMA_AGENTS_BASE_URL", "https://agents.lumalabs.ai/", "/v1"),
    ],
)
def test_an_address_of_luma_without_its_path_is_refused_by_name(name: str, address: str, path: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} cannot be used: its path must be {path}"):
        Settings.from_environment({name: address})


@pytest.mark.parametrize(
    "spelling",
    [
        "postgresql://",
        "postgres://",
        "POSTGRES://",
        "postgresql+psycopg://",
        "postgres+asyncpg://",
        "jdbc:postgresql://",
    ],
)
def test_a_database_is_found_by_each_spelling_of_its_address(spelling: str) -> None:
    settings = Settings.from_environment({"LUMA_LEDGER": f"{spelling}me:secret@db.example.com/ledger"})

    assert settings.database_url == "postgresql://me:secret@db.example.com/ledger"


@pytest.mark.parametrize("address", ["mysql://db/ledger", "sqlite:////tmp/l", "host=db dbname=ledger", "dbname=l"])
def test_another_database_is_refused_with_the_right_spelling(address: str) -> None:
    with pytest.raises(SettingsError, match="postgresql://user:password@host/database") as caught:
        Settings.from_environment({"LUMA_LEDGER": address})

    assert "LUMA_LEDGER" in str(caught.value)


SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8G"


@pytest.mark.parametrize("url", ["https://example.com/hook?a=1", "http://127.0.0.1:9000/hook", "http://[::1]/"])
def test_events_go_by_https_or_stay_on_this_machine(url: str) -> None:
    assert read(LUMA_EVENTS_URL=url, LUMA_EVENTS_SECRET=SECRET).events_url == url


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"LUMA_EVENTS_URL": "http://example.com/"}, "https URL"),
        ({"LUMA_EVENTS_URL": "https:///hook"}, "https URL"),
        ({"LUMA_EVENTS_URL": "https://anna:word@example.com/"}, "no credentials"),
        ({"LUMA_EVENTS_URL": "https://example.com/#top"}, "no credentials"),
        ({"LUMA_EVENTS_SECRET": "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, "whsec_ and 24 to 64"),
        ({"LUMA_EVENTS_SECRET": "whsec_c2hvcnQ="}, "whsec_ and 24 to 64"),
        ({"LUMA_EVENTS_SECRET": "whsec_***"}, "whsec_ and 24 to 64"),
        ({"LUMA_EVENTS_SECRET": ""}, "need each other"),
        ({"LUMA_EVENTS_URL": ""}, "need each other"),
        ({"LUMA_EVENTS_SECRET": "${EVENTS_SECRET}"}, "did not replace"),
    ],
)
def test_a_receiver_of_events_that_cannot_be_used_is_refused(variables: dict[str, str], reason: str) -> None:
    given = {"LUMA_EVENTS_URL": "https://example.com/", "LUMA_EVENTS_SECRET": SECRET, **variables}
    with pytest.raises(SettingsError, match=reason) as refused:
        read(**given)
    if variables.get("LUMA_EVENTS_SECRET"):
        assert "whsec_c2hv" not in str(refused.value)
        assert "MfKQ" not in str(refused.value)


def test_the_secret_of_events_shows_in_no_repr() -> None:
    assert "MfKQ" not in repr(read(LUMA_EVENTS_URL="https://example.com/", LUMA_EVENTS_SECRET=SECRET))
