"""What saved files are called."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_mcp.domain.file_names import FIELDS
from luma_mcp.domain.generation import Generation
from luma_mcp.files.naming import Naming

ID = "15b7abb1-3741-4b7e-9615-1f9a16c7442d"
BOAT = Generation(
    id=ID,
    created_at=datetime(2026, 11, 24, 10, 30, 5, tzinfo=UTC),
    model="ray-2",
    prompt="A boat, at dawn!",
)


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("{prompt}-{short_id}", "a-boat-at-dawn-15b7abb1"),
        ("{date}/{kind}/{prompt} {id}", f"2026-11-24/video/a-boat-at-dawn-{ID}"),
        ("{model}_{time}_{short_id}_{asset}", "ray-2-103005-15b7abb1-video"),
        ("CON/{id}", f"con-/{ID}"),
    ],
)
def test_a_template_is_filled_in(template: str, path: str) -> None:
    assert str(Naming(template).path_for(BOAT)) == path


def test_another_asset_has_another_name() -> None:
    assert str(Naming().path_for(BOAT, "image")) == "a-boat-at-dawn-15b7abb1-image"
    assert str(Naming("{asset}-{id}").path_for(BOAT, "image")) == f"image-{ID}"


def test_what_is_not_known_has_a_word() -> None:
    bare = Generation(id=ID)

    assert str(Naming("{date}/{model}/{prompt}-{id}").path_for(bare)) == f"undated/no-model/video-{ID}"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{prompt}", "it needs {id} or {short_id}"),
        ("{id}{seed}", "its fields may be"),
        ("{id.__class__}", "its fields may be"),
        ("{id!r}", "its fields may be"),
        ("{id:>1000000}", "its fields may be"),
        ("{}{id}", "its fields may be"),
        ("{id", "its braces do not match"),
        ("/{id}", "relative path"),
        ("../{id}", "relative path"),
        ("a/./{id}", "relative path"),
        ("{id}/", "relative path"),
        ("C:\\{id}", "relative path"),
        ("/".join(["a"] * 9) + "/{id}", "relative path"),
    ],
)
def test_a_template_that_cannot_be_is_refused(template: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason.replace("{", r"\{").replace("}", r"\}")):
        Naming(template)


@given(st.text(max_size=200), st.sampled_from(FIELDS), st.text(max_size=20))
def test_no_prompt_leaves_the_folder(prompt: str, field: str, model: str) -> None:
    generation = Generation(id=ID, model=model, prompt=prompt)
    path = Naming(f"{{{field}}}/{{id}}").path_for(generation)

    assert not path.is_absolute()
    assert len(path.parts) == 2
    assert not set(path.parts) & {"..", "."}
    assert all(len(part) <= 121 for part in path.parts)
