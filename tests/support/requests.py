"""Requests of every kind that one API accepts, for properties."""

from typing import Any, get_args

from hypothesis import strategies as st

from luma_mcp.domain import validation
from luma_mcp.domain.apis import APIS, BackendName
from luma_mcp.domain.catalogue import IMAGE_MODELS, VIDEO_MODELS, Signal
from luma_mcp.domain.errors import InvalidRequestError
from luma_mcp.domain.media_refs import name_of_file, name_of_generation
from luma_mcp.domain.requests import (
    AddAudioRequest,
    FrameKeyframe,
    GenerationKeyframe,
    ImageKeyframe,
    ImageReference,
    ImageRequest,
    ModifyVideoRequest,
    Placement,
    ReframeImageRequest,
    ReframeVideoRequest,
    Request,
    TimedKeyframe,
    UpscaleRequest,
    VideoRequest,
)

ID = "15b7abb1-3741-4b7e-9615-1f9a16c7442d"
# What only the Agents API knows by these names is given to Dream Machine as a link.
_NAMES: dict[BackendName, list[str]] = {
    "dream_machine": ["https://a.example/a.png", "https://a.example/b?x=1"],
    "agents": ["https://a.example/a.png", name_of_file("ab" * 32, "png"), name_of_generation(ID)],
}
_PROMPTS = st.text(min_size=3, max_size=12) | st.sampled_from(["a boat", "dawn\n", "夜の海"])
_FRACTIONS = st.floats(0, 1)
_PLACEMENTS = st.builds(Placement, left=_FRACTIONS, top=_FRACTIONS, width=_FRACTIONS, height=_FRACTIONS)
_FORMATS = st.sampled_from([None, "jpg", "png"])


def _choice(values: Any) -> st.SearchStrategy[Any]:
    return st.none() | st.sampled_from(sorted(values)) if values else st.none()


def _videos(backend: BackendName, names: st.SearchStrategy[str]) -> st.SearchStrategy[Request]:
    models = {name: model for name, model in VIDEO_MODELS.items() if model.backend == backend}

    def of_model(name: Any) -> st.SearchStrategy[Request]:
        model = models[name]
        prompts = st.none() | _PROMPTS
        resolutions = _choice(model.resolutions)
        frames = st.none() | st.builds(ImageKeyframe, names) | st.builds(GenerationKeyframe, st.just(ID))
        moments = st.lists(st.builds(TimedKeyframe, names, st.integers(0, 100).map(lambda index: index / 24)))
        return st.one_of(
            st.builds(
                VideoRequest, model=st.just(name), prompt=prompts, aspect_ratio=_choice(model.ratios),
                resolution=resolutions, duration=_choice(model.durations), loop=st.booleans(), start=frames, end=frames,
                concepts=st.just(()) | st.just(("orbit_left", "push_in")), keyframes=st.just(()) | moments.map(tuple),
                hdr=st.booleans(), exr=st.booleans(),
            ),
            st.builds(
                ReframeVideoRequest, model=st.just(name), media=names, aspect_ratio=st.sampled_from(model.ratios),
                prompt=prompts, first_frame=st.none() | names, placement=st.none() | _PLACEMENTS,
                resolution=resolutions,
            ),
            st.builds(
                ModifyVideoRequest, model=st.just(name), media=names,
                mode=st.sampled_from([None, "adhere_1", "flex_2", "reimagine_3"]), prompt=prompts,
                first_frame=st.none() | names, resolution=resolutions,
                keep=st.just(()) | st.sets(st.sampled_from(get_args(Signal))).map(_in_order),
                keyframes=st.just(()) | st.lists(st.builds(FrameKeyframe, names, st.integers(0, 400))).map(tuple),
                hdr=st.booleans(), exr=st.booleans(),
            ),
        )  # fmt: skip

    return st.sampled_from(sorted(models)).flatmap(of_model)


def _in_order(signals: set[Signal]) -> tuple[Signal, ...]:
    return tuple(signal for signal in get_args(Signal) if signal in signals)


def _images(backend: BackendName, names: st.SearchStrategy[str]) -> st.SearchStrategy[Request]:
    models = {name: model for name, model in IMAGE_MODELS.items() if model.backend == backend}
    references = st.builds(ImageReference, names, st.none() | _FRACTIONS)
    lists = st.just(()) | st.lists(references, max_size=4).map(tuple)

    def of_model(name: Any) -> st.SearchStrategy[Request]:
        ratios = models[name].ratios
        return st.one_of(
            st.builds(
                ImageRequest, model=st.just(name), prompt=st.none() | _PROMPTS, aspect_ratio=_choice(ratios),
                format=_FORMATS, image_references=lists, style_references=lists,
                character_images=st.just(()) | st.lists(names, max_size=4).map(tuple),
                modify_image=st.none() | references, style=st.sampled_from([None, "manga"]), web_search=st.booleans(),
            ),
            st.builds(
                ImageRequest, model=st.just(name), prompt=st.none() | _PROMPTS, layers=st.sampled_from(["1k", "2k"]),
                modify_image=st.builds(ImageReference, names),
            ),
            st.builds(
                ReframeImageRequest, model=st.just(name), media=names, aspect_ratio=st.sampled_from(ratios),
                prompt=st.none() | _PROMPTS, format=_FORMATS, placement=st.none() | _PLACEMENTS,
            ),
        )  # fmt: skip

    return st.sampled_from(sorted(models)).flatmap(of_model)


def _copies(backend: BackendName) -> st.SearchStrategy[Request]:
    resolutions = st.none() | st.sampled_from(APIS[backend].upscale_resolutions or ("4k",))
    return st.one_of(
        st.builds(UpscaleRequest, generation_id=st.just(ID), resolution=resolutions),
        st.builds(AddAudioRequest, generation_id=st.just(ID), prompt=st.none() | _PROMPTS, negative_prompt=_PROMPTS),
    )


def is_valid(request: Request) -> bool:
    """Whether validation accepts it."""
    try:
        validation.check(request)
    except InvalidRequestError:
        return False
    return True


def requests_of(backend: BackendName) -> st.SearchStrategy[Request]:
    """The requests that validation accepts for an API."""
    names = st.sampled_from(_NAMES[backend])
    strategies = [_videos(backend, names), _images(backend, names)]
    if "upscale_video" in APIS[backend].operations:
        strategies.append(_copies(backend))
    return st.one_of(*strategies).filter(is_valid)
