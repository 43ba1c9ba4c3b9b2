"""Responses of the Agents API: bytes to values. Pure.

The response about a generation echoes nothing of its request: no prompt, no size, no price. The request is in the
purchase ledger, and `recalled` adds it.

Source: the official SDK `luma-agents` 0.5.0.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, cast

from luma_mcp.backends.agents.request_decoding import request_of
from luma_mcp.backends.responses import JsonObject, LenientResponse, Time, has_id, read_object, state_of
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


class _LayerResponse(LenientResponse):
    index: int | None = None
    label: str | None = None


class _OutputResponse(LenientResponse):
    type: str | None = None
    url: str | None = None
    layer: _LayerResponse | None = None


class _GenerationResponse(LenientResponse):
    id: str
    type: str | None = None
    state: str | None = None
    model: str | None = None
    created_at: Time | None = None
    output: list[_OutputResponse] | None = None
    failure_reason: str | None = None
    failure_code: str | None = None


@dataclass(frozen=True, slots=True)
class UploadTarget:
    """The URL that the bytes of a new file are PUT to, and the headers of the PUT."""

    url: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file of the account.

    Args:
        id: its id.
        state: `pending`, `ready`, `failed` or `deleted`; other words are kept.
        name: its name.
        size_bytes: how many bytes it has.
        failure_reason: why it cannot be used.
        expires_at: when it is deleted.
        target: the URL for its bytes, if they are missing.
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
    """Part of the list of files, and the cursor of the next part; None if there is no more."""

    files: tuple[UploadedFile, ...]
    next_cursor: str | None


class _FileResponse(LenientResponse):
    id: str
    state: str | None = None
    filename: str | None = None
    size_bytes: int | None = None
    failure_reason: str | None = None
    expires_at: Time | None = None


class _UploadResponse(LenientResponse):
    url: str | None = None
    headers: dict[str, str] | None = None


def read_generation(data: bytes) -> Generation:
    """Raises: UnexpectedResponseError."""
    response = read_object(data)
    if not has_id(response):
        raise UnexpectedResponseError("Luma answered a generation without an id.")
    read = _GenerationResponse.model_validate(response)
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
    """A generation with its request, as the ledger has it.

    Args:
        generation: the generation, as the API describes it.
        body: the body that was sent.
        price_usd: the price.
    """
    prompt = body.get("prompt")
    return replace(
        generation,
        request=request_of(body),
        prompt=prompt if isinstance(prompt, str) else None,
        price_usd=price_usd,
    )


def read_file(data: bytes) -> UploadedFile:
    """Raises: UnexpectedResponseError."""
    return _file(read_object(data))


def read_created_file(data: bytes) -> UploadedFile:
    """The response to a new file, which has the URL for its bytes. Raises: UnexpectedResponseError."""
    response = read_object(data)
    inner = cast("JsonObject", response["file"]) if isinstance(response.get("file"), dict) else {}
    upload = response.get("upload")
    read = _UploadResponse.model_validate(upload) if isinstance(upload, dict) else _UploadResponse()
    target = UploadTarget(read.url, read.headers or {}) if read.url else None
    outer = {name: response[name] for name in ("id", "state") if name in response}
    return replace(_file({**inner, **outer}), target=target)


def read_files(data: bytes) -> FilePage:
    """A page of files, newest first. Raises: UnexpectedResponseError. An entry without an id is left out."""
    response = read_object(data)
    entries = response.get("data")
    if not isinstance(entries, list):
        raise UnexpectedResponseError("Luma answered a list without files in it.")
    files = tuple(_file(entry) for entry in cast("list[Any]", entries) if has_id(entry))
    cursor = response.get("next_cursor")
    return FilePage(files, cursor if isinstance(cursor, str) and response.get("has_more") is True else None)


def _file(response: JsonObject) -> UploadedFile:
    if not has_id(response):
        raise UnexpectedResponseError("Luma answered a file without an id.")
    read = _FileResponse.model_validate(response)
    state = (read.state or "unknown").strip().casefold()
    return UploadedFile(read.id, state, read.filename, read.size_bytes, read.failure_reason, read.expires_at)


def _outputs(responses: list[_OutputResponse]) -> list[Output]:
    """Pictures, layers from front to back, and clips. What has another type, such as EXR, is named by it."""
    kinds: dict[str, OutputKind] = {"video": "video", "image": "image"}
    outputs: list[tuple[int, Output]] = []
    for response in responses:
        word = (response.type or "").strip().casefold()
        kind, layer = kinds.get(word, "other"), response.layer or _LayerResponse()
        name = word if kind == "other" else ""
        if layer.index is not None:
            name = "-".join(["layer", str(layer.index + 1), *((layer.label or "").split())])
        if response.url:
            outputs.append((layer.index or 0, Output(kind, response.url, name)))
    return [output for _, output in sorted(outputs, key=lambda output: output[0])]
