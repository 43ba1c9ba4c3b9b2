"""What a person sees in a host with MCP Apps, and what each button does."""

import re
from pathlib import Path

import anyio
import pytest

from luma_mcp.emulator.faults import Fault
from luma_mcp.mcp.tools import film_results as films

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

BOAT = "a paper boat on a quiet lake, dawn"


async def is_playing(host) -> bool:
    """Whether the clip has been loaded: it has a size and a frame."""
    video = host.app.locator("video")
    await video.wait_for(timeout=60_000)
    await video.evaluate("v => v.readyState >= 2 || new Promise(done => v.onloadeddata = done)")
    return await video.evaluate("v => v.videoWidth > 0 && v.duration > 4")


async def labels(host) -> list[str]:
    return await host.app.locator("#actions button").all_inner_texts()


async def press(host, action: str) -> None:
    await host.app.locator(f"#actions button[data-action='{action}']").click()


async def test_a_completed_clip_plays_and_offers_what_can_be_done_with_prices(host) -> None:
    clip = await host.make("create_video", prompt=BOAT, resolution="540p", model="ray-2")
    await host.show("get_generation", generation_id=clip)

    assert await is_playing(host)
    assert await host.app.locator("#prompt").inner_text() == BOAT
    assert await labels(host) == [
        "Extend · $0.40", "Upscale · up to $1.60", "Add audio · up to $0.50", "Variation · $0.40", "Download · free",
        "Open",
    ]  # fmt: skip
    facts = await host.app.locator("#facts").inner_text()
    assert "Completed" in facts
    assert "ray-2" in facts
    assert await host.page.evaluate("seen.uri") == "ui://luma/view"


@pytest.mark.parametrize(
    ("action", "words", "tool", "more"),
    [
        ("extend", "the boat drifts off", "extend_video", {"prompt": "the boat drifts off"}),
        ("upscale", None, "upscale_video", {"resolution": "1080p"}),
        ("add audio", "water and birds", "add_audio", {"prompt": "water and birds"}),
        ("add audio", "", "add_audio", {}),
        (
            "variation", None, "create_video",
            {"prompt": BOAT, "model": "ray-flash-2", "resolution": "540p", "duration": "5s", "aspect_ratio": "16:9",
             "take": 2},
        ),
    ],
)  # fmt: skip
async def test_a_button_buys_after_it_is_confirmed_and_shows_what_was_bought(host, action, words, tool, more) -> None:
    clip = await host.make("create_video", prompt=BOAT, resolution="540p", model="ray-flash-2")
    await host.show("get_generation", generation_id=clip)
    await press(host, action)

    assert host.bought() == [], "the first press only asks"
    price = (await host.app.locator(f"#actions button[data-action='{action}']").inner_text()).split(" · ")[1]
    confirm = host.app.locator("#form button.main")
    assert await confirm.inner_text() == f"Buy for {price}"
    if words is not None:
        await host.app.locator("#form input").fill(words)
    await confirm.click()
    await host.app.locator("#note", has_text="Bought for").wait_for()

    source = {} if action == "variation" else {"generation_id": clip}
    assert host.bought() == [(tool, {**source, **more})]
    await host.app.locator("#stage", has_text="It is being made…").wait_for()
    (answer,) = await host.page.evaluate("seen.context")
    assert f"{tool}(" in answer["content"][0]["text"]
    await host.pass_time(300)
    await host.app.locator(".state[data-state=completed]").wait_for(timeout=60_000)
    assert await is_playing(host)
    assert await host.app.locator("#gallery button").count() == 2


async def test_a_picture_can_be_animated_and_varied(host) -> None:
    image = await host.make("create_image", prompt=BOAT, aspect_ratio="1:1")
    await host.show("get_generation", generation_id=image)
    await host.app.locator("#stage img").evaluate("i => i.decode()")

    assert [item.split(" · ")[0] for item in await labels(host)] == ["Animate", "Variation", "Download", "Open"]
    await press(host, "animate")
    await host.app.locator("#form input").fill("it drifts")
    await host.app.locator("#form input").press("Enter")
    await host.app.locator("#note", has_text="Bought for").wait_for()

    assert host.bought() == [
        ("create_video", {"start_frame": image, "aspect_ratio": "1:1", "model": "ray-2", "prompt": "it drifts"})
    ]


async def test_a_picture_is_varied_by_the_same_request(host) -> None:
    image = await host.make("create_image", prompt=BOAT, aspect_ratio="1:1", format="png", model="photon-flash-1")
    await host.show("get_generation", generation_id=image)
    await press(host, "variation")
    await host.app.locator("#form button.main").click()
    await host.app.locator("#note", has_text="Bought for").wait_for()

    same = {"prompt": BOAT, "aspect_ratio": "1:1", "format": "png", "model": "photon-flash-1", "take": 2}
    assert host.bought() == [("create_image", same)]


async def test_the_download_button_saves_the_file(host, output: Path) -> None:
    image = await host.make("create_image", prompt=BOAT)
    await host.show("get_generation", generation_id=image)
    await press(host, "download")
    await host.app.locator("#note", has_text="Saved as").wait_for()

    assert host.bought() == [("download_generation", {"generation_ids": [image]})]
    (file,) = output.glob("*.jpg")
    assert str(file) in await host.app.locator("#note").inner_text()


async def test_the_open_button_asks_the_host_to_open_the_link(host) -> None:
    image = await host.make("create_image", prompt=BOAT)
    await host.show("get_generation", generation_id=image)
    await press(host, "open")
    await host.page.wait_for_function("seen.links.length")

    assert await host.page.evaluate("seen.links") == [f"{host.asset_origin}/assets/{image}/image.jpg"]


async def test_not_now_buys_nothing(host) -> None:
    image = await host.make("create_image", prompt=BOAT)
    await host.show("get_generation", generation_id=image)
    await press(host, "variation")
    await host.app.locator("#form button", has_text="Not now").click()

    assert await host.app.locator("#form").is_hidden()
    assert host.bought() == []


async def test_words_that_are_needed_are_asked_for(host) -> None:
    clip = await host.make("create_video", prompt=BOAT, resolution="540p")
    await host.show("get_generation", generation_id=clip)
    await press(host, "extend")
    await host.app.locator("#form button.main").click()

    assert await host.app.locator("#form input:invalid").count() == 1
    assert host.bought() == []


async def test_two_presses_buy_once(host) -> None:
    image = await host.make("create_image", prompt=BOAT)
    await host.show("get_generation", generation_id=image)
    await press(host, "variation")
    await host.app.locator("#form button.main").dblclick()
    await host.app.locator("#note", has_text="Bought for").wait_for()

    assert [tool for tool, _ in host.bought()] == ["create_image"]


async def test_what_is_refused_is_reported_in_the_servers_words(host) -> None:
    image = await host.make("create_image", prompt=BOAT)
    await host.show("get_generation", generation_id=image)
    host.emulator.dream_machine.billing.charge("another", 100_000)
    await press(host, "variation")
    await host.app.locator("#form button.main").click()
    note = host.app.locator("#note[data-kind=bad]")
    await note.wait_for()

    assert "insufficient credits" in await note.inner_text()
    assert await host.app.locator("#form button.main").is_enabled()


async def test_a_dream_is_followed_to_its_end(host) -> None:
    clip = (await host.call("create_video", prompt=BOAT, resolution="540p"))["structuredContent"]["generation_id"]
    await host.show("wait_for_generation", generation_ids=[clip], timeout_seconds=0)

    assert await host.app.locator(".state").get_attribute("data-state") in ("queued", "dreaming")
    assert await labels(host) == []
    await host.pass_time(300)
    await host.app.locator(".state[data-state=completed]").wait_for(timeout=60_000)
    assert await is_playing(host)
    assert any(tool == "wait_for_generation" for tool, _ in host.calls)


async def test_it_follows_from_the_arguments_before_there_is_a_response(host) -> None:
    clip = (await host.call("create_video", prompt=BOAT, resolution="540p"))["structuredContent"]["generation_id"]
    await host.show("wait_for_generation", hears={"content": []}, generation_ids=[clip])
    await host.pass_time(300)

    await host.app.locator(".state[data-state=completed]").wait_for(timeout=60_000)


async def test_a_failure_states_why_and_that_it_is_refunded(host) -> None:
    clip = await host.make("create_video", prompt=f"{BOAT} [fail: Frame moderation failed]")
    await host.show("get_generation", generation_id=clip)

    stage = await host.app.locator("#stage").inner_text()
    assert stage == "It failed: Frame moderation failed. Luma refunds it."
    assert await labels(host) == []


async def test_an_expired_link_is_asked_for_again(host) -> None:
    clip = await host.make("create_video", prompt=BOAT, resolution="540p")
    host.emulator.faults.append(Fault("expire", path="/assets/*/video.mp4"))
    await host.show("get_generation", generation_id=clip)

    assert await is_playing(host)
    assert ("get_generation", {"generation_id": clip}) in host.calls


async def test_a_link_that_is_gone_can_still_be_opened_elsewhere(host) -> None:
    clip = await host.make("create_video", prompt=BOAT, resolution="540p")
    host.emulator.faults.append(Fault("expire", path="/assets/*/video.mp4", times=50))
    await host.show("get_generation", generation_id=clip)
    stage = host.app.locator("#stage", has_text="It cannot be shown here.")
    await stage.wait_for(timeout=60_000)
    await stage.locator("button").click()
    await host.page.wait_for_function("seen.links.length")

    assert (await host.page.evaluate("seen.links"))[0].endswith("/video.mp4")


async def test_a_file_on_an_unknown_host_is_shown_small_by_the_server(agents_host) -> None:
    """Nobody knows the host of the Agents API's links. Each answer has new ones; they are asked for once."""
    host = agents_host
    clip = await host.make("create_video", prompt=BOAT, resolution="360p")
    await host.show("get_generation", generation_id=clip, loads_nothing=True)
    await host.app.locator("#stage", has_text="It cannot be shown here.").wait_for(timeout=60_000)
    picture = host.app.locator("img[src^='data:image/jpeg']")
    await picture.wait_for(timeout=60_000)

    assert await picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 300
    assert [name for name, _ in host.calls].count("get_generation") == 1
    assert [name for name, _ in host.calls].count("view_generation") == 1


async def test_a_clip_of_the_agents_api_plays_and_offers_what_that_api_can_do(agents_host) -> None:
    host = agents_host
    clip = await host.make("create_video", prompt=BOAT, resolution="360p")
    await host.show("get_generation", generation_id=clip)

    assert await is_playing(host)
    assert await labels(host) == ["Extend · up to $0.15", "Variation · $0.06", "Download · free", "Open"]


async def test_a_list_is_a_gallery_that_the_keyboard_walks(host) -> None:
    made = [await host.make("create_image", prompt=f"{BOAT} {number}", model="photon-flash-1") for number in range(3)]
    await host.show("list_generations")
    gallery = host.app.locator("#gallery button")

    assert await gallery.count() == 3
    assert await host.app.locator("#prompt").inner_text() == f"{BOAT} 2"
    await gallery.first.focus()
    await host.page.keyboard.press("ArrowRight")
    await host.page.keyboard.press("Enter")
    assert await host.app.locator("#prompt").inner_text() == f"{BOAT} 1"
    assert await host.app.locator("#gallery button[aria-pressed=true]").get_attribute("data-id") == made[1]


async def test_what_was_viewed_is_shown_as_a_sheet_with_its_measures(host) -> None:
    clip = await host.make("create_video", prompt=BOAT, resolution="540p")
    await host.show("view_generation", generation_id=clip)
    sheet = host.app.locator("#sheet img")
    await sheet.evaluate("i => i.decode()")

    assert re.fullmatch(r"Frames at 0 s, .*4\.9\d s", await sheet.get_attribute("alt"))
    assert re.search("960.540", await host.app.locator("#facts").inner_text())


async def test_the_texts_of_luma_are_text_and_nothing_more(host) -> None:
    hostile = "<img src=x onerror=alert(1)><script>parent.postMessage('x')</script>"
    answer = {
        "generation_id": "15b7abb1",
        "state": "failed",
        "kind": hostile,
        "prompt": hostile,
        "failure_reason": hostile,
    }
    await host.show("get_generation", hears={"content": [], "structuredContent": answer}, generation_id="15b7abb1")

    assert await host.app.locator("#prompt").inner_text() == hostile
    assert await host.app.locator("main img, main script").count() == 0


@pytest.mark.parametrize(
    "link", ["http://example.com/a.mp4", "javascript:alert(1)", "data:text/html,x", "file:///etc/x"]
)
async def test_a_link_of_another_kind_is_not_loaded(host, link: str) -> None:
    answer = {"generation_id": "15b7abb1", "state": "completed", "kind": "video", "video_url": link}
    await host.show("get_generation", hears={"content": [], "structuredContent": answer}, generation_id="15b7abb1")

    assert await host.app.locator("video, #stage img").count() == 0
    assert "There is no file." in await host.app.locator("#stage").inner_text()


async def test_no_other_host_can_be_reached_from_the_page(host) -> None:
    """What Luma's links name may be loaded; nothing may be sent anywhere."""
    image = await host.make("create_image", prompt=BOAT)
    await host.show("get_generation", generation_id=image)
    frame = host.page.frames[-1]
    requested: list[str] = []
    host.page.on("request", lambda request: requested.append(request.url))
    refused = await frame.evaluate(
        """async (origin) => {
            const other = new Image();
            const blocked = new Promise((done) => {
                other.onerror = () => done("image");
                other.onload = () => done("");
            });
            other.src = origin.replace("127.0.0.1", "localhost") + "/x.png";
            return [await blocked, await fetch(origin).then(() => "", () => "fetch")];
        }""",
        host.asset_origin,
    )

    assert refused == ["image", "fetch"]


async def test_a_host_that_carries_no_calls_still_shows(host) -> None:
    image = await host.make("create_image", prompt=BOAT)
    result = await host.call("get_generation", generation_id=image)
    resource = await host.client.read_resource("ui://luma/view")
    text = resource.contents[0].text
    values = {"tool": {"name": "x", "inputSchema": {"type": "object"}}, "result": result, "resource": {"text": text}}
    bare = {**values, "capabilities": {}, "theme": "light"}
    bare["resource"]["_meta"] = {"ui": {"csp": {"resourceDomains": [host.asset_origin]}}}
    await host.page.evaluate("(given) => Host.show(given)", bare)
    await host.app.locator("#stage img").evaluate("i => i.decode()")

    assert await labels(host) == []


@pytest.mark.parametrize("era", ["legacy"], indirect=True)
async def test_it_works_on_the_older_protocol_too(host) -> None:
    image = await host.make("create_image", prompt=BOAT)
    await host.show("get_generation", generation_id=image)
    await press(host, "variation")
    await host.app.locator("#form button.main").click()
    await host.app.locator("#note", has_text="Bought for").wait_for()

    assert [tool for tool, _ in host.bought()] == ["create_image"]


FILM = {
    "shots": [
        {"prompt": "a paper boat at dawn"},
        {"prompt": "it drifts past reeds", "start": "continue"},
        {"prompt": "rain begins to fall"},
    ],
    "resolution": "540p",
    "model": "ray-flash-2",
}


async def until_it_is_over(host) -> None:
    """Let Luma's time pass while the page follows a film."""
    for _ in range(60):
        await host.pass_time(100)
        if re.search("Completed|Stopped", await host.app.locator("#film").inner_text()):
            return
        await host.page.wait_for_timeout(1000)


async def strip(host) -> list[str]:
    return await host.app.locator("#gallery button span").all_inner_texts()


async def test_a_film_is_followed_shot_by_shot_and_a_shot_can_be_taken_again(host, request, tmp_path: Path) -> None:
    await host.show("create_film", **FILM)
    assert await strip(host) == [
        "1 · $0.14 · Planned · a paper boat at dawn", "2 · $0.14 · Planned · it drifts past reeds",
        "3 · $0.14 · Planned · rain begins to fall",
    ]  # fmt: skip
    await host.app.locator("#gallery button", has_text="1 · $0.14 · Queued").wait_for()
    assert "Planned" in (await strip(host))[1], "it waits for the first"
    await until_it_is_over(host)
    film = await host.app.locator("#film").inner_text()

    assert re.sub(r"\s+", " ", film).startswith(
        "Film of 3 shots Completed $0.42 $0.42 spent saved as a-paper-boat-at-dawn-film-"
    )
    assert await is_playing(host)
    assert host.bought() == []
    saved = Path(request.config.getoption("--screenshots") or tmp_path)
    await host.page.screenshot(path=saved / "film.png", full_page=True)
    await host.app.locator("#gallery button").nth(2).click()
    await press(host, "re-take")
    assert await host.app.locator("#form span").inner_text() == (
        "Re-take: this shot, and those that depend on it, are made anew."
    )
    await host.app.locator("#form button.main").click()
    await host.app.locator("#note", has_text="Allowed for $0.14.").wait_for()
    ((tool, arguments),) = host.bought()
    assert (tool, [shot.get("take") for shot in arguments["shots"]]) == ("create_film", [None, None, 2])
    await host.app.locator("#gallery button", has_text="3 · $0.14 · Queued").wait_for()
    await until_it_is_over(host)
    (told,) = await host.page.evaluate("seen.context")

    assert "re-take" in told["content"][0]["text"]
    assert len(host.emulator.dream_machine.billing.purchases()) == 4


async def test_a_film_is_followed_until_it_is_saved(host, monkeypatch: pytest.MonkeyPatch) -> None:
    may_save, save = anyio.Event(), films.save_film

    async def slowly(*arguments, **settings):
        await may_save.wait()
        return await save(*arguments, **settings)

    monkeypatch.setattr(films, "save_film", slowly)
    monkeypatch.setattr(films, "_MIN_SAVE_SECONDS", 0.1)
    await host.show("create_film", **FILM)
    told = host.app.locator("#film")
    for _ in range(30):
        await host.pass_time(100)
        if "Being saved" in await told.inner_text():
            break
        await host.page.wait_for_timeout(1000)
    assert "saved as" not in await told.inner_text()
    may_save.set()
    await host.app.locator("#film", has_text="saved as a-paper-boat-at-dawn-film-").wait_for()
    assert "Completed" in await told.inner_text()


async def test_a_film_that_stopped_states_why_and_offers_to_continue(host) -> None:
    shots = [{"prompt": "a boat [fail: Frame moderation failed]"}, {"prompt": "it drifts off", "start": "continue"}]
    await host.show("create_film", **{**FILM, "shots": shots})
    await until_it_is_over(host)

    assert "It failed: Frame moderation failed. Luma refunds it." in await host.app.locator("#stage").inner_text()
    assert [label.split(" · ")[0] for label in await labels(host)] == ["Re-take"]
    await host.app.locator("#gallery button").nth(1).click()
    assert await host.app.locator("#stage").inner_text() == "It waits for shot 1, which was not made."
    assert "Stopped" in (await strip(host))[1]


async def test_a_plan_that_is_only_priced_is_not_followed(host) -> None:
    await host.show("create_film", **FILM, dry_run=True)
    await host.page.wait_for_timeout(500)

    assert "Film of 3 shots" in await host.app.locator("#film").inner_text()
    assert host.calls == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [720, 300])
@pytest.mark.parametrize("state", ["dreaming", "completed", "failed"])
async def test_it_can_be_read_in_every_dress(host, request, tmp_path: Path, theme: str, width: int, state: str) -> None:
    """Nothing sticks out at the side; words stand out from the ground. `--screenshots DIR` keeps the pictures."""
    await host.page.set_viewport_size({"width": width, "height": 900 if width > 400 else 1000})
    await host.make("create_image", prompt="a quiet harbour at dusk, lanterns")
    words = f"{BOAT} [fail: Frame moderation failed]" if state == "failed" else BOAT
    bought = await host.call("create_video", prompt=words, resolution="540p", concepts=["orbit_left"])
    await host.pass_time(20 if state == "dreaming" else 300)
    clip = bought["structuredContent"]["generation_id"]
    await host.show("list_generations", theme=theme)
    await host.app.locator(f"#gallery button[data-id='{clip}']").click()
    await host.app.locator(f".state[data-state={state}]").wait_for()
    if state == "completed":
        assert await is_playing(host)
        await press(host, "extend")
    saved = Path(request.config.getoption("--screenshots") or tmp_path)
    await host.page.screenshot(path=saved / f"{state}-{theme}-{'wide' if width > 400 else 'narrow'}.png")

    frame = host.page.frames[-1]
    assert await frame.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for selector in (".facts span", ".film span", "#prompt", "button:not([hidden])", "#stage p"):
        for contrast in await frame.evaluate(CONTRASTS, selector):
            assert contrast >= 4.5, selector


# The contrast of every visible text with what is behind it, by the formula of WCAG 2.
CONTRASTS = """(selector) => {
  const pixel = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (colour) => {
    pixel.clearRect(0, 0, 1, 1); pixel.fillStyle = colour; pixel.fillRect(0, 0, 1, 1);
    return [...pixel.getImageData(0, 0, 1, 1).data];
  };
  const light = ([red, green, blue]) => [red, green, blue]
    .map((part) => part / 255)
    .map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = rgb(getComputedStyle(one).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll(selector)]
    .filter((element) => element.checkVisibility() && element.innerText.trim())
    .map((element) => {
      const [one, two] = [light(rgb(getComputedStyle(element).color)), light(behind(element))];
      return (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
    });
}"""
