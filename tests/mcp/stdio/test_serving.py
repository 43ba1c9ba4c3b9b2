"""The real process over stdin and stdout: what only a process can show."""

import asyncio
import json
import os
import shlex
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, StdioServerParameters

from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.faults import Fault
from luma_mcp.emulator.serving import serving
from tests.support.agent import Agent
from tests.support.processes import until_delivered, until_elsewhere
from tests.support.raw_luma import RawLuma, Script
from tests.support.stdio_process import INHERITED, SECONDS_TO_STOP, Wire, environment_for, started

pytestmark = [
    pytest.mark.slow,
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="signals and pipes of POSIX"),
]


@pytest.fixture
def anyio_backend() -> str:
    """The runner is asyncio's: it polls pipes."""
    return "asyncio"


@pytest.fixture
async def base_url() -> AsyncIterator[str]:
    async with serving(Emulator(speed=1)) as url:
        yield url


async def dreaming(wire: Wire) -> str:
    """Buy a video that takes a minute, and begin to wait for it."""
    await wire.shake_hands()
    await wire.call(1, "create_video", prompt="a boat")
    generation_id = (await wire.receive())["result"]["structuredContent"]["generation_id"]
    await wire.call(2, "wait_for_generation", generation_ids=[generation_id], timeout_seconds=600)
    await wire.call(3, "ping")
    assert (await wire.receive())["id"] == 3
    return generation_id


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_client_works_with_the_process(output: Path, mode: str) -> None:
    async with serving(Emulator(speed=20)) as base_url:
        server = StdioServerParameters(
            command=sys.executable,
            args=["-m", "luma_mcp"],
            env={**INHERITED, **environment_for(base_url, output)},
        )
        with anyio.fail_after(60):
            async with Client(server, mode=mode) as client:
                bought = await Agent(client).call("create_image", prompt="a boat")
                waited = await Agent(client).call("wait_for_generation", generation_ids=[bought["generation_id"]])
                saved = await Agent(client).call("download_generation", generation_ids=[bought["generation_id"]])

    assert waited["done"] is True
    assert Path(saved["files"][0]["path"]).is_file()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_in_mid_wait_ends_it_cleanly(base_url: str, output: Path, number: signal.Signals) -> None:
    async with started(base_url, output) as wire:
        await dreaming(wire)
        wire.process.send_signal(number)

        assert await wire.exit_code() == 0


async def test_the_end_of_input_in_mid_wait_ends_it_cleanly(base_url: str, output: Path) -> None:
    async with started(base_url, output) as wire:
        await dreaming(wire)
        await wire.stdin.aclose()

        assert await wire.exit_code() == 0


async def test_what_was_bought_before_the_end_is_found_after_it(base_url: str, output: Path) -> None:
    async with started(base_url, output) as wire:
        generation_id = await dreaming(wire)
        wire.process.send_signal(signal.SIGTERM)
        await wire.exit_code()
    async with started(base_url, output) as wire:
        await wire.shake_hands()
        await wire.call(1, "get_generation", generation_id=generation_id)

        assert (await wire.receive())["result"]["structuredContent"]["generation_id"] == generation_id


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "end of input", "SIGKILL"])
async def test_a_purchase_under_way_does_not_hold_the_process_and_is_not_lost(output: Path, how: str) -> None:
    """Luma has accepted and takes a minute to say so; the host stops the server meanwhile."""
    emulator = Emulator(faults=[Fault("slow", method="POST", after=True, seconds=60)])
    async with serving(emulator) as base_url:
        async with started(base_url, output) as wire:
            await wire.shake_hands()
            await wire.call(1, "create_video", prompt="a boat")
            await until_elsewhere(emulator.dream_machine.billing.purchases)
            if how == "end of input":
                await wire.stdin.aclose()
            else:
                wire.process.send_signal(getattr(signal, how))
            await wire.exit_code()
        async with started(base_url, output) as wire:
            await wire.shake_hands()
            await wire.call(1, "create_video", prompt="a boat")
            bought = (await wire.receive())["result"]["structuredContent"]

    assert emulator.dream_machine.billing.purchases() == [bought["generation_id"]]
    assert bought["recovered"] is True


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT twice", "end of input"])
async def test_a_purchase_at_an_api_without_a_list_holds_the_process_until_luma_responds(
    output: Path, how: str
) -> None:
    """Nothing but the response names the generation."""
    answers = asyncio.Event()
    luma = RawLuma(scripts=[Script(held=answers)])
    async with luma.serving() as base_url:
        agents_url = base_url.replace("/dream-machine", "")
        settings = (f"LUMA_TOKEN=luma-api-{'a' * 20}", f"LUMA_AGENTS_BASE_URL={agents_url}")
        command = ("env", *settings, sys.executable, "-m", "luma_mcp")
        async with started(base_url, output, *command) as wire:
            await wire.shake_hands()
            await wire.call(1, "create_video", prompt="a boat", resolution="540p")
            await until_elsewhere(lambda: luma.posts)
            if how == "end of input":
                await wire.stdin.aclose()
            else:
                wire.process.send_signal(signal.SIGTERM if how == "SIGTERM" else signal.SIGINT)
                if how == "SIGINT twice":
                    await until_delivered(wire.process.pid)
                    wire.process.send_signal(signal.SIGINT)
                await until_delivered(wire.process.pid)
            assert wire.process.returncode is None
            answers.set()
            await wire.exit_code()
        async with started(base_url, output, *command) as wire:
            await wire.shake_hands()
            await wire.call(1, "create_video", prompt="a boat", resolution="540p")
            bought = (await wire.receive())["result"]["structuredContent"]

    assert luma.posts == 1
    assert [bought["generation_id"]] == list(luma.accepted)
    assert bought["recovered"] is True


async def test_a_task_outlives_the_process_that_started_it(output: Path) -> None:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}},
    }
    emulator = Emulator(speed=20)
    async with serving(emulator) as base_url:
        async with started(base_url, output) as wire:
            call = {"name": "create_video", "arguments": {"prompt": "a boat"}, "_meta": meta}
            await wire.send_message(id=1, method="tools/call", params=call)
            task = (await wire.receive())["result"]
            assert (task["resultType"], task["status"]) == ("task", "working")
            wire.process.kill()
            await wire.exit_code()
        async with started(base_url, output) as wire:
            with anyio.fail_after(30):
                while task["status"] == "working":
                    await wire.send_message(id=2, method="tasks/get", params={"taskId": task["taskId"], "_meta": meta})
                    task = (await wire.receive())["result"]

    answer = task["result"]["structuredContent"]
    assert (answer["state"], answer["generation_id"]) == ("completed", emulator.dream_machine.billing.purchases()[0])


async def test_eight_servers_with_one_ledger_keep_the_days_cap(output: Path) -> None:
    """$5 allows exactly twelve clips of $0.40; forty are asked for at once."""
    emulator = Emulator(limits={}, credit_usd=1000)
    bought: list[str] = []
    refused: list[str] = []

    async def buy_five(base_url: str, number: int) -> None:
        server = StdioServerParameters(
            command=sys.executable,
            args=["-m", "luma_mcp"],
            env={**INHERITED, **environment_for(base_url, output), "LUMA_MAX_USD_PER_DAY": "5"},
        )
        async with Client(server) as client, anyio.create_task_group() as tasks:
            for clip in range(5):
                tasks.start_soon(buy_one, client, f"boat {number} {clip}")

    async def buy_one(client: Client, prompt: str) -> None:
        result = await client.call_tool("create_video", {"prompt": prompt, "resolution": "540p"})
        if result.is_error:
            refused.append(getattr(result.content[0], "text", ""))
        else:
            bought.append((result.structured_content or {})["generation_id"])

    with anyio.fail_after(120):
        async with serving(emulator) as base_url, anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(buy_five, base_url, number)

    assert len(bought) == 12
    assert sorted(bought) == sorted(emulator.dream_machine.billing.purchases())
    assert len(refused) == 28
    assert [item for item in refused if "today's cap (LUMA_MAX_USD_PER_DAY) of $5.00" not in item] == []


@pytest.mark.parametrize("words", [[], ["serve"]])
async def test_a_piped_script_gets_every_response(base_url: str, output: Path, words: list[str]) -> None:
    """`cat requests | dream-machine-mcp`: the input ends before the last request is answered."""
    async with started(base_url, output, sys.executable, "-m", "luma_mcp", *words) as wire:
        client = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
        wanted = {"name": "create_video", "arguments": {"prompt": "a boat", "dry_run": True}}
        lines = [
            {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": client},
            {"jsonrpc": "2.0", "method": "notifications/initialized"},
            {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
            {"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": wanted},
        ]
        await wire.stdin.send("".join(json.dumps(line) + "\n" for line in lines).encode())
        await wire.stdin.aclose()
        received = [await wire.receive() for _ in range(3)]

        assert [event["id"] for event in received] == [1, 2, 3]
        assert received[2]["result"]["structuredContent"]["price_usd"] == 0.71
        assert await wire.exit_code() == 0


async def test_a_stray_print_does_not_reach_the_protocol(base_url: str, output: Path) -> None:
    program = (
        "import os, sys, luma_mcp.mcp.stdio.serving as s; from luma_mcp.composition import build_server as b; "
        "from luma_mcp.config.settings import Settings as S; server = b(S.from_environment()); f = server.call_tool\n"
        "async def noisy(*a, **k):\n"
        "    print('stray', flush=True); os.system('echo stray'); return await f(*a, **k)\n"
        "server.call_tool = noisy; s.run(server)"
    )
    async with started(base_url, output, sys.executable, "-c", program) as wire:
        await wire.shake_hands()
        await wire.call(1, "ping")

        assert (await wire.receive())["result"]["structuredContent"]["ok"] is True


async def test_who_asks_twice_does_not_wait_for_the_cleanup(base_url: str, output: Path) -> None:
    program = (
        "import anyio, luma_mcp.mcp.stdio.serving as s; from luma_mcp.composition import build_server as b; "
        "from luma_mcp.config.settings import Settings as S; server = b(S.from_environment())\n"
        "async def slow(*a, **k):\n"
        "    with anyio.CancelScope(shield=True): print('begun', flush=True); await anyio.sleep(60)\n"
        "server.call_tool = slow; s.run(server)"
    )
    command = [sys.executable, "-c", program]
    process = await anyio.open_process(command, env={**INHERITED, **environment_for(base_url, output)})
    wire = Wire(process)
    await wire.shake_hands()
    await wire.call(1, "ping")
    assert process.stderr is not None
    assert await process.stderr.receive() == b"begun\n"
    process.send_signal(signal.SIGTERM)
    await until_delivered(process.pid)
    process.send_signal(signal.SIGTERM)

    assert await wire.exit_code() == 1
    await process.aclose()


async def test_a_signal_ends_it_where_nothing_can_be_polled(base_url: str, output: Path, tmp_path: Path) -> None:
    """The SDK's own transport reads in a thread, which nothing can interrupt."""
    answers = tmp_path / "answers"
    client = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    hello = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": client})
    with answers.open("wb") as taken, anyio.fail_after(30):
        process = await anyio.open_process(
            [sys.executable, "-m", "luma_mcp"], stdout=taken, env={**INHERITED, **environment_for(base_url, output)}
        )
        assert process.stdin is not None
        await process.stdin.send(hello.encode() + b"\n")
        await until_elsewhere(answers.read_text)
        process.send_signal(signal.SIGTERM)
        with anyio.fail_after(SECONDS_TO_STOP):
            assert await process.wait() == 0
        await process.aclose()


async def test_what_is_no_message_gets_an_error_and_stops_nothing(base_url: str, output: Path) -> None:
    async with started(base_url, output) as wire:
        await wire.shake_hands()
        for content in (b"not json", b"\xff\xfe", b'{"prompt": "\\ud83d', b"[]", b"x" * 300_000, b'{"jsonrpc":"2.0"}'):
            await wire.stdin.send(b"\n \n" + content + b"\n")
            refused = await wire.receive()
            assert (refused["id"], refused["error"]["code"] in (-32700, -32600)) == (None, True)
        await wire.call(1, "ping")

        assert (await wire.receive())["id"] == 1


async def test_a_last_message_without_the_end_of_its_line_gets_a_response(base_url: str, output: Path) -> None:
    async with started(base_url, output) as wire:
        await wire.shake_hands()
        await wire.stdin.send(b'{"jsonrpc":"2.0","id":7,"method":"ping"}')
        await wire.stdin.aclose()

        assert (await wire.receive())["id"] == 7


async def test_progress_is_reported_while_a_call_waits(base_url: str, output: Path) -> None:
    async with started(base_url, output) as wire:
        generation_id = await dreaming(wire)
        waiting = {"generation_ids": [generation_id], "timeout_seconds": 0}
        params = {"name": "wait_for_generation", "arguments": waiting, "_meta": {"progressToken": "mine"}}
        await wire.send_message(id=4, method="tools/call", params=params)
        reply = await wire.next()

        assert (reply["method"], reply["params"]["progressToken"]) == ("notifications/progress", "mine")
        assert generation_id[:8] in reply["params"]["message"]
        assert (await wire.receive())["id"] == 4


async def test_a_long_message_comes_through(base_url: str, output: Path) -> None:
    async with started(base_url, output) as wire:
        await wire.shake_hands()
        await wire.call(1, "create_video", prompt="a boat " * 60_000)

        assert "Prompt is too long" in (await wire.receive())["result"]["content"][0]["text"]


async def test_a_cancelled_call_gets_no_response(base_url: str, output: Path) -> None:
    async with started(base_url, output) as wire:
        await dreaming(wire)
        await wire.send_message(method="notifications/cancelled", params={"requestId": 2, "reason": "enough"})
        await wire.call(4, "ping")

        assert (await wire.receive())["id"] == 4


async def test_files_instead_of_pipes_work_too(base_url: str, output: Path, tmp_path: Path) -> None:
    """Where nothing can be polled the SDK's own transport serves."""
    script = tmp_path / "requests"
    answers = tmp_path / "answers"
    client = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    script.write_text(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": client}) + "\n")
    environment = {**os.environ, **environment_for(base_url, output)}
    with script.open("rb") as values, answers.open("wb") as taken, anyio.fail_after(30):
        process = await anyio.open_process(
            [sys.executable, "-m", "luma_mcp"], stdin=values, stdout=taken, env=environment, stderr=None
        )
        assert await process.wait() == 0

    assert json.loads(answers.read_text().splitlines()[0])["id"] == 1


@pytest.mark.parametrize("token", ["luma-secret-canary", "luma-secret-canary-wrong"])
async def test_the_token_is_in_no_log_no_response_and_no_file(tmp_path: Path, token: str) -> None:
    """With everything logged, through success, refusal and trouble."""
    emulator = Emulator(token="luma-secret-canary", speed=1000, faults=[Fault("drop", method="GET", times=2)])
    script = [
        {"id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25", "capabilities": {},
                                                     "clientInfo": {"name": "test", "version": "1"}}},
        {"method": "notifications/initialized"},
        *(
            {"id": number, "method": "tools/call", "params": {"name": name, "arguments": arguments}}
            for number, (name, arguments) in enumerate(
                [
                    ("get_credits", {}),
                    ("create_image", {"prompt": "a boat"}),
                    ("list_generations", {}),
                    ("get_generation", {"generation_id": "../credits"}),
                ],
                start=2,
            )
        ),
    ]  # fmt: skip
    async with serving(emulator) as base_url:
        environment = {
            **INHERITED, **environment_for(base_url, tmp_path / "output"),
            "LUMA_TOKEN": token, "LUMA_LOG_LEVEL": "DEBUG",
        }  # fmt: skip
        lines = "".join(json.dumps({"jsonrpc": "2.0", **line}) + "\n" for line in script)
        with anyio.fail_after(60):
            process = await anyio.open_process([sys.executable, "-m", "luma_mcp"], env=environment)
            wire = Wire(process)
            await wire.stdin.send(lines.encode())
            answers = [json.dumps(await wire.receive()) for _ in range(5)]
            await wire.stdin.aclose()
            assert process.stderr is not None
            logged = b"".join([block async for block in process.stderr]).decode()
            await process.wait()
            await process.aclose()

    assert logged.count("DEBUG") > 5, "nothing was logged, so nothing is shown"
    assert "HTTP Request" not in logged, "links hold signatures"
    assert token not in "".join(answers) + logged
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or token.encode() not in file.read_bytes(), file


async def test_a_setting_that_cannot_be_used_is_reported_and_nothing_starts(output: Path) -> None:
    environment = {**os.environ, "LUMA_BASE_URL": "http://example.com/v1"}
    with anyio.fail_after(30):
        done = await anyio.run_process([sys.executable, "-m", "luma_mcp"], env=environment, check=False)

    assert done.returncode == 2
    assert done.stdout == b""
    assert done.stderr.decode().startswith(
        "dream-machine-mcp cannot start: LUMA_BASE_URL cannot be used: it must begin"
    )
    assert done.stderr.count(b"\n") == 1


PROBE_META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}


@pytest.mark.parametrize("delay", [0, 1.0, 5.0], ids=["at once", "as AI SDK 2", "as the C# SDK"])
@pytest.mark.parametrize("probes", [1, 3])
async def test_a_handshake_after_a_probe_gets_a_response(
    base_url: str, output: Path, delay: float, probes: int
) -> None:
    """Clients probe for the newer protocol, give up, and send the handshake of the older one."""
    async with started(base_url, output) as wire:
        for number in range(probes):
            await wire.send_message(id=100 + number, method="server/discover", params={"_meta": PROBE_META})
        await anyio.sleep(delay if probes == 1 else 0)
        for number in range(probes):
            await wire.send_message(method="notifications/cancelled", params={"requestId": 100 + number})
        client = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
        await wire.send_message(id=1, method="initialize", params=client)
        while (answer := await wire.receive())["id"] != 1:
            assert answer["id"] >= 100
        assert answer["result"]["protocolVersion"] == "2025-11-25"
        await wire.send_message(method="notifications/initialized")
        await wire.call(2, "ping")

        assert (await wire.receive())["result"]["structuredContent"]["ok"] is True


async def test_a_probe_is_followed_by_the_newer_protocol_too(base_url: str, output: Path) -> None:
    async with started(base_url, output) as wire:
        await wire.send_message(id=0, method="server/discover", params={"_meta": PROBE_META})
        assert "result" in await wire.receive()
        call = {"name": "ping", "arguments": {}, "_meta": PROBE_META}
        await wire.send_message(id=1, method="tools/call", params=call)

        assert (await wire.receive())["result"]["structuredContent"]["ok"] is True


async def test_what_is_open_at_the_end_of_input_gets_no_response(base_url: str, output: Path) -> None:
    """An error for it crashes clients with the SDK 1.20 to 1.30."""
    async with started(base_url, output) as wire:
        await dreaming(wire)
        await wire.stdin.aclose()
        assert await wire.exit_code() == 0
        messages: list[dict[str, Any]] = []
        with suppress(anyio.IncompleteRead, anyio.EndOfStream):
            while True:
                messages.append(await wire.next())
        assert not [message for message in messages if "error" in message]


async def test_a_host_that_has_closed_both_pipes_leaves_no_trace(base_url: str, output: Path) -> None:
    process = await anyio.open_process(
        [sys.executable, "-m", "luma_mcp"], env={**INHERITED, **environment_for(base_url, output)}
    )
    wire = Wire(process)
    await dreaming(wire)
    assert process.stdout is not None
    assert process.stderr is not None
    await process.stdout.aclose()
    await wire.stdin.aclose()

    assert await wire.exit_code() == 0
    with pytest.raises(anyio.EndOfStream):
        await process.stderr.receive()
    await process.aclose()


@pytest.mark.parametrize(
    ("redirection", "code", "words"),
    [("</dev/null", 0, ""), ("<&-", 1, "one of them is closed"), ("</dev/null >&-", 1, "one of them is closed")],
)
async def test_it_ends_where_no_client_can_reach_it(
    base_url: str, output: Path, redirection: str, code: int, words: str
) -> None:
    command = f"{shlex.quote(sys.executable)} -m luma_mcp {redirection}"
    with anyio.fail_after(30):
        done = await anyio.run_process(
            ["sh", "-c", command], env={**INHERITED, **environment_for(base_url, output)}, check=False
        )

    assert done.returncode == code
    assert words in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


@pytest.mark.parametrize(
    "words", [["serve"], ["serve", "--http", "--port", "0", "--host", "nowhere.invalid"]], ids=" ".join
)
async def test_variables_without_effect_are_reported_at_the_start(output: Path, words: list[str]) -> None:
    environment = {**INHERITED, **environment_for("http://127.0.0.1:9/x", output), "LUMA_MAX_USD_DAY": "5"}
    tokens = {"LUMA_HTTP_TOKENS": "kT9-2bQw8xLm4Zr7vN1c"}
    with anyio.fail_after(30):
        done = await anyio.run_process(
            [sys.executable, "-m", "luma_mcp", *words], input=b"", env=environment | tokens, check=False
        )

    assert "LUMA_MAX_USD_DAY is no setting of this server" in done.stderr.decode()
    assert "Did you mean LUMA_MAX_USD_PER_DAY?" in done.stderr.decode()
