"""An edit that takes longer than its client waits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from luma_mcp.files import background
from luma_mcp.files import edits as edit_files
from luma_mcp.mcp.client import caller
from luma_mcp.media import worker
from luma_mcp.media.edit import edit, progress_of
from tests.support.agent import Agent, once

pytestmark = [pytest.mark.anyio, pytest.mark.medium]

FORM = {"resolution": "540p", "model": "ray-flash-2"}


class Held:
    """Edits that end when the test lets them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.started = anyio.Event()
        self.may_end = anyio.Event()
        self.count = 0
        self.error: Exception | None = None
        self._run: Callable[..., Any] = worker.run
        monkeypatch.setattr(worker, "run", self)

    async def __call__(self, function: Any, *arguments: Any, **settings: Any) -> Any:
        if function is edit:
            self.count += 1
            progress_of(arguments[1]).write_text("12 48")
            self.started.set()
            await self.may_end.wait()
            if self.error is not None:
                raise self.error
        return await self._run(function, *arguments, **settings)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    monkeypatch.setattr(edit_files, "_WATCH_SECONDS", 0.005)
    monkeypatch.setattr(background, "_REPORT_EVERY_SECONDS", 0.01)
    return Held(monkeypatch)


@once
async def test_it_goes_on_when_its_client_gives_up_and_the_same_call_joins_it(
    agent: Agent, output: Path, held: Held
) -> None:
    clip = await agent.make("create_video", prompt="a boat", **FORM)
    arguments: dict[str, Any] = {"clips": [{"source": clip, "end": 1}], "width": 80}

    async def give_up(scope: anyio.CancelScope) -> None:
        await held.started.wait()
        scope.cancel()

    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            tasks.start_soon(give_up, scope)
            await agent.call("edit_video", **arguments)
        assert scope.cancelled_caught

    made: list[Any] = []

    async def ask() -> None:
        made.extend((await agent.call("edit_video", **arguments))["files"])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        held.may_end.set()
    assert made[0] == made[1]
    assert held.count == 1
    assert Path(made[0]["path"]).is_file()


@once
async def test_its_frames_are_reported(agent: Agent, output: Path, held: Held) -> None:
    clip = await agent.make("create_video", prompt="a boat", **FORM)
    heard: list[str] = []

    async def hear(_progress: float, _total: float | None, message: str | None) -> None:
        heard.append(message or "")
        if "frames" in (message or ""):
            held.may_end.set()

    await agent.client.call_tool("edit_video", {"clips": [{"source": clip, "end": 1}]}, progress_callback=hear)

    assert "12 of 48 frames are made." in heard
    assert all("frames are made" in message or "bytes of clips are fetched" in message for message in heard)


@once
async def test_a_client_that_would_time_out_is_told_to_call_again(
    agent: Agent, output: Path, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = await agent.make("create_video", prompt="a boat", **FORM)
    monkeypatch.setattr(caller, "timeout_for", lambda _name: 0.0)
    answer = await agent.call("edit_video", clips=[{"source": clip, "end": 1}])

    assert answer["files"] == []
    (sentence,) = answer["problems"]
    assert sentence.startswith("It is not made yet and goes on. ")
    assert sentence.endswith("Call edit_video again with the same arguments.")
    monkeypatch.undo()
    held.may_end.set()


@once
async def test_one_that_fails_is_told_to_its_client_and_is_tried_anew(agent: Agent, output: Path, held: Held) -> None:
    clip = await agent.make("create_video", prompt="a boat", **FORM)
    held.error = OSError(28, "No space left on device")
    held.may_end.set()
    for number in (1, 2):
        refused = await agent.refusal("edit_video", clips=[{"source": clip, "end": 1}])
        assert "No space left on device" in refused
        assert held.count == number


@pytest.mark.child_process
@once
async def test_the_child_states_its_progress(agent: Agent, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = await agent.make("create_video", prompt="a boat", **FORM)
    states: list[str] = []
    run = worker.run

    async def read(function: Any, *arguments: Any, **settings: Any) -> Any:
        result = await run(function, *arguments, **settings)
        if function is edit:
            states.append(progress_of(arguments[1]).read_text())
        return result

    monkeypatch.setattr(worker, "run", read)
    await agent.call("edit_video", clips=[{"source": clip, "end": 1}], width=80)
    assert states == ["12 24"]
