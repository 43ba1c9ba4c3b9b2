"""An estimate is the most that can be charged: over chains of operations, by id, by link and from files."""

from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp import Client

from luma_mcp.composition import build_server
from luma_mcp.config.settings import Settings
from luma_mcp.domain.catalogue import IMAGE_MODELS, SIZES_AT_720P, VIDEO_MODELS
from luma_mcp.emulator.app import Emulator
from tests.support.agent import BASE_URL, TOKEN, Agent, HeldClock, InMemory

pytestmark = pytest.mark.slow

RATIOS = st.sampled_from(list(SIZES_AT_720P))
RESOLUTIONS = st.sampled_from(["540p", "720p", "1080p", "4k"])
MODELS = st.sampled_from([name for name, model in VIDEO_MODELS.items() if model.backend == "dream_machine"])
FIRST = st.fixed_dictionaries(
    {"model": MODELS, "aspect_ratio": RATIOS, "resolution": RESOLUTIONS, "duration": st.sampled_from(["5s", "9s"])}
)
# Each step works on the clip before it; VIDEO is its id and LINK the link of its asset.
STEPS = st.one_of(
    st.tuples(st.just("extend_video"), st.just({"generation_id": "VIDEO", "prompt": "on it goes"})),
    st.tuples(
        st.just("upscale_video"), st.fixed_dictionaries({"generation_id": st.just("VIDEO"), "resolution": RESOLUTIONS})
    ),
    st.tuples(st.just("add_audio"), st.just({"generation_id": "VIDEO"})),
    st.tuples(
        st.just("modify_video"),
        st.fixed_dictionaries({
            "source": st.sampled_from(["VIDEO", "LINK"]), "mode": st.just("flex_1"), "model": MODELS
        }),
    ),
    st.tuples(
        st.just("reframe_video"),
        st.fixed_dictionaries({
            "source": st.sampled_from(["VIDEO", "LINK"]), "aspect_ratio": RATIOS, "model": MODELS
        }),
    ),
)  # fmt: skip


RAY = VIDEO_MODELS["ray-3.2"]
MADE = {"resolution": st.sampled_from(RAY.resolutions)}
FIRST_RAY = st.one_of(
    st.fixed_dictionaries(
        MADE | {"aspect_ratio": st.sampled_from([None, *RAY.ratios]), "duration": st.sampled_from(RAY.durations)}
    ),
    st.fixed_dictionaries(
        {"hdr": st.just(True), "exr": st.booleans(), "resolution": st.sampled_from(["720p", "1080p"])}
    ),
)
STEPS_RAY = st.one_of(
    st.tuples(st.just("extend_video"), st.just({"generation_id": "VIDEO", "prompt": "on it goes"})),
    st.tuples(
        st.just("modify_video"),
        st.fixed_dictionaries(MADE | {"source": st.just("VIDEO"), "prompt": st.just("at night")}),
    ),
    st.tuples(
        st.just("reframe_video"),
        st.fixed_dictionaries(
            MADE | {
                "source": st.just("VIDEO"), "prompt": st.just("more"),
                "aspect_ratio": st.sampled_from(["1:1", "16:9"]),
            }
        ),
    ),
)  # fmt: skip
AGENTS_KEY = f"luma-api-{TOKEN}"


async def _readable(_url: str) -> bytes:
    return b"a picture"


async def _chain(
    first: dict[str, Any], steps: list[tuple[str, dict[str, Any]]], folder: Path, key: str = TOKEN
) -> None:
    clock = HeldClock()
    emulator: Emulator

    async def fetch_url(url: str) -> tuple[int, str, bytes]:
        """The emulator's own clips; each is rendered for that."""
        async with httpx.AsyncClient(transport=httpx.ASGITransport(emulator.app)) as client:
            answer = await client.get(url)
        return answer.status_code, answer.headers["content-type"], answer.content

    emulator = Emulator(
        token=TOKEN, credit_usd=1e6, limits={}, clock=clock.now, wall=clock.luma_wall, fetch=_readable,
        fetch_url=fetch_url,
    )  # fmt: skip
    billing = emulator.dream_machine.billing if key == TOKEN else emulator.agents.billing
    environment = {
        "LUMA_TOKEN": key, "LUMA_BASE_URL": BASE_URL, "LUMA_LEDGER": str(folder / "purchases.sqlite3"),
        "LUMA_OUTPUT_DIR": str(folder),
    }  # fmt: skip
    server = build_server(Settings.from_environment(environment), transport=InMemory(emulator), clock=clock)
    async with Client(server) as client:
        agent = Agent(client)
        calls = [("create_video", {"prompt": "a boat", **first}), *steps]
        video, link = "", ""
        for take, (tool, template) in enumerate(calls, start=1):
            arguments = {name: {"VIDEO": video, "LINK": link}.get(value, value) for name, value in template.items()}
            result = await agent.result(tool, **arguments, take=take)
            if result.structured_content is None:
                refusals = ("takes at most", "cannot do going on from a clip", "is not a URL")
                assert any(refusal in str(result.content) for refusal in refusals), result
                break
            bought = result.structured_content
            charged = billing.entries[-1].cents
            assert bought["price_usd"] * 100 >= charged - 1e-6, (tool, arguments, bought["price_usd"], charged)
            waited = await agent.call(
                "wait_for_generation", generation_ids=[bought["generation_id"]], timeout_seconds=600
            )
            video, link = bought["generation_id"], waited["generations"][0]["video_url"]
    emulator.assets.close()


@pytest.mark.slow
def test_an_estimate_is_never_below_the_charge(tmp_path_factory: pytest.TempPathFactory) -> None:
    @settings(max_examples=60, print_blob=True)
    @given(first=FIRST, steps=st.lists(STEPS, max_size=4))
    def chains(first: dict[str, Any], steps: list[tuple[str, dict[str, Any]]]) -> None:
        anyio.run(_chain, first, steps, tmp_path_factory.mktemp("chain"))

    chains()


@pytest.mark.slow
def test_an_estimate_of_the_agents_api_is_never_below_the_charge(tmp_path_factory: pytest.TempPathFactory) -> None:
    @settings(max_examples=60, print_blob=True)
    @given(first=FIRST_RAY, steps=st.lists(STEPS_RAY, max_size=4))
    def chains(first: dict[str, Any], steps: list[tuple[str, dict[str, Any]]]) -> None:
        anyio.run(_chain, first, steps, tmp_path_factory.mktemp("chain"), AGENTS_KEY)

    chains()


@pytest.mark.slow
def test_a_link_to_a_clip_is_never_charged_above_its_estimate(tmp_path: Path) -> None:
    call = {"source": "LINK", "prompt": "at night", "resolution": "360p"}
    steps = [("modify_video", call), ("reframe_video", call | {"aspect_ratio": "1:1"})]
    anyio.run(_chain, {"resolution": "360p"}, steps, tmp_path, AGENTS_KEY)


@pytest.mark.anyio
@pytest.mark.parametrize("model", [name for name, model in IMAGE_MODELS.items() if model.backend == "dream_machine"])
@pytest.mark.parametrize("ratio", SIZES_AT_720P)
async def test_an_image_is_never_charged_above_its_estimate(
    agent: Agent, emulator: Emulator, model: str, ratio: str
) -> None:
    bought = await agent.call("create_image", prompt="a boat", model=model, aspect_ratio=ratio)

    assert bought["price_usd"] * 100 >= emulator.dream_machine.billing.entries[-1].cents - 1e-6


@pytest.mark.anyio
async def test_a_link_to_a_4k_clip_of_ours_is_priced_as_that_clip(agent: Agent, emulator: Emulator) -> None:
    clip = await agent.make("create_video", prompt="a boat", resolution="4k")
    link = (await agent.call("get_generation", generation_id=clip))["video_url"]
    by_link = await agent.call("modify_video", source=link, mode="flex_1", dry_run=True)
    by_id = await agent.call("modify_video", source=clip, mode="flex_1", dry_run=True)
    stranger = await agent.call("modify_video", source="https://a.example/a.mp4", mode="flex_1", dry_run=True)

    assert by_link["price_usd"] == by_id["price_usd"]
    assert stranger["price_usd"] > by_id["price_usd"], "what is not known is the largest"
    assert stranger["price_is_assumed"] is True
