"""Answers of the Agents API: bytes to values. Pure.

A generation's answer echoes nothing of its request: no prompt, no form, no price. What was asked for is in the purchase
ledger, and `recalled` adds it to the answer.

Source: the official SDK `luma-agents` 0.5.0.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, cast

from luma_mcp.backends.responses import JsonObject, LenientAnswer, Time, has_id, read_object, state_of
from luma_mcp.domain.errors import UnexpectedResponseError
from luma_mcp.domain.generation import Generation, Output, OutputKind

# The operations, by the API's `type`.
_KINDS = {
    "image": "image",
    "image_edit": "image",
    "layering": "image",
    "video": "video",
    "video_edit": "modify_video",
    "video_reframe": "reframe_video",
}


# Luma says of these failures that they are refunded. Of `budget_exhausted` it says that part may be charged, and of
# the others nothing.
_REFUNDED = frozenset({"content_moderated", "generation_failed", "output_not_found"})

# The fields of a request that name pictures and clips.
_MEDIA = ("source", "image_ref", "start_frame", "end_frame", "keyframes")


class _LayerAnswer(LenientAnswer):
    index: int | None = None
    label: str | None = None


class _OutputAnswer(LenientAnswer):
    type: str | None = None
    url: str | None = None
    layer: _LayerAnswer | None = None


class _GenerationAnswer(LenientAnswer):
    id: str
    type: str | None = None
    state: str | None = None
    model: str | None = None
    created_at: Time | None = None
    output: list[_OutputAnswer] | None = None
    failure_reason: str | None = None
    failure_code: str | None = None


@dataclass(frozen=True, slots=True)
class UploadTarget:
    """Where the bytes of a new file are PUT, and with which headers."""

    url: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file of the account.

    Args:
        id: its id.
        state: `pending`, `ready`, `failed` or `deleted`; other words are kept.
        name: the name that it was given.
        size_bytes: how many bytes it has.
        failure_reason: why it cannot be used.
        expires_at: when it is deleted.
        target: where its bytes are to be put, if they are missing.
    """

    id: str
    state: str
    name: str | None = None
    size_bytes: int | None = None
    failure_reason: str | None = None
    expires_at: datetime | None = None
    target: UploadTarget | None = None


@dataclass(frozen=True, slots=True)
class FilePage:
    """Part of the list of files, and where the next part begins; None if there is no more."""

    files: tuple[UploadedFile, ...]
    next_cursor: str | None


class _FileAnswer(LenientAnswer):
    id: str
    state: str | None = None
    filename: str | None = None
    size_bytes: int | None = None
    failure_reason: str | None = None
    expires_at: Time | None = None


class _UploadAnswer(LenientAnswer):
    url: str | None = None
    headers: dict[str, str] | None = None


def read_generation(data: bytes) -> Generation:
    """Raises: UnexpectedResponseError."""
    answer = read_object(data)
    if not has_id(answer):
        raise UnexpectedResponseError("Luma answered a generation without an id.")
    read = _GenerationAnswer.model_validate(answer)
    reason = read.failure_reason
    if read.failure_code:
        reason = f"{reason or 'no reason'} ({read.failure_code})"
    return Generation(
        id=read.id,
        state=state_of(read.state),
        kind=_KINDS.get(read.type or "", read.type or "video"),
        failure_reason=reason,
        is_refunded=state_of(read.state) != "failed" or (read.failure_code or "").strip().casefold() in _REFUNDED,
        created_at=read.created_at,
        outputs=tuple(_outputs(read.output or [])),
        model=read.model,
        backend="agents",
    )


def recalled(generation: Generation, body: Mapping[str, Any], price_usd: float) -> Generation:
    """A generation with what was asked for, as the ledger has it.

    The request has the names that Dream Machine's echo has: prompt, model, aspect_ratio, resolution, duration. That it
    was made from pictures or clips shows as `made_from_media`.
    """
    video = cast("JsonObject", body.get("video") or {})
    names = ("prompt", "model", "aspect_ratio", "style", "web_search")
    request = {name: body[name] for name in names if name in body}
    request |= {name: video[name] for name in ("resolution", "duration", "loop", "hdr", "exr_export") if name in video}
    mode = cast("JsonObject", video.get("edit") or {}).get("strength")
    if mode:
        request["mode"] = mode
    layers = cast("JsonObject", body.get("layering") or {}).get("resolution")
    if layers:
        request["layers"] = layers
    if any(body.get(name) for name in _MEDIA) or any(video.get(name) for name in _MEDIA):
        request["made_from_media"] = True
    return replace(generation, request=request, price_usd=price_usd)


def read_file(data: bytes) -> UploadedFile:
    """Raises: UnexpectedResponseError."""
    return _file(read_object(data))


def read_created_file(data: bytes) -> UploadedFile:
    """The answer to a new file, which says where its bytes go. Raises: UnexpectedResponseError."""
    answer = read_object(data)
    inner = cast("JsonObject", answer["file"]) if isinstance(answer.get("file"), dict) else {}
    upload = answer.get("upload")
    read = _UploadAnswer.model_validate(upload) if isinstance(upload, dict) else _UploadAnswer()
    target = UploadTarget(read.url, read.headers or {}) if read.url else None
    outer = {name: answer[name] for name in ("id", "state") if name in answer}
    return replace(_file({**inner, **outer}), target=target)


def read_files(data: bytes) -> FilePage:
    """A page of files, newest first. Raises: UnexpectedResponseError. An entry without an id is left out."""
    answer = read_object(data)
    entries = answer.get("data")
    if not isinstance(entries, list):
        raise UnexpectedResponseError("Luma answered a list without files in it.")
    files = tuple(_file(entry) for entry in cast("list[Any]", entries) if has_id(entry))
    cursor = answer.get("next_cursor")
    return FilePage(files, cursor if isinstance(cursor, str) and answer.get("has_more") is True else None)


def _file(answer: JsonObject) -> UploadedFile:
    if not has_id(answer):
        raise UnexpectedResponseError("Luma answered a file without an id.")
    read = _FileAnswer.model_validate(answer)
    state = (read.state or "unknown").strip().casefold()
    return UploadedFile(read.id, state, read.filename, read.size_bytes, read.failure_reason, read.expires_at)


def _outputs(answers: list[_OutputAnswer]) -> list[Output]:
    """Pictures, layers from front to back, and clips. What has another type, such as EXR, is named by it."""
    kinds: dict[str, OutputKind] = {"video": "video", "image": "image"}
    outputs: list[tuple[int, Output]] = []
    for answer in answers:
        word = (answer.type or "").strip().casefold()
        kind, layer = kinds.get(word, "other"), answer.layer or _LayerAnswer()
        name = word if kind == "other" else ""
        if layer.index is not None:
            name = "-".join(["layer", str(layer.index + 1), *((layer.label or "").split())])
        if answer.url:
            outputs.append((layer.index or 0, Output(kind, answer.url, name)))
    return [output for _, output in sorted(outputs, key=lambda found: found[0])]
