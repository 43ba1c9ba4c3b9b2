"""The emulator: both APIs of Luma behind one ASGI app, with injected faults."""

import time
from collections.abc import AsyncGenerator, Callable, Mapping, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette

from luma_mcp.emulator.agents import app as agents_app
from luma_mcp.emulator.agents.account import DEFAULT_LIMITS, AgentsAccount
from luma_mcp.emulator.agents.account import Fetch as FetchUrl
from luma_mcp.emulator.agents.app import AgentsApi
from luma_mcp.emulator.dream_machine.account import BUILD_TIER, DreamMachineAccount, Fetch
from luma_mcp.emulator.dream_machine.app import DreamMachineApi, fetch_input
from luma_mcp.emulator.faults import App, Fault, FaultyApp, Receive, Send
from luma_mcp.emulator.habits import Habits
from luma_mcp.emulator.limiter import Limits
from luma_mcp.emulator.rendering.assets import AssetStore


class Emulator:
    """One emulated account at each API, behind an ASGI `app`.

    Args:
        token: the only Dream Machine key that is accepted; None accepts any.
        agents_token: the only key of the Agents API that is accepted; None accepts any that begins with `luma-api-`.
        credit_usd: what each account begins with.
        speed: how many times faster than Luma generations proceed.
        limits: the limits by family of models: `video` and `image` of Dream Machine, `agents` for the Agents API;
            those of Luma's smallest plans by default. A family without an entry has none.
        faults: what shall go wrong.
        clock: seconds that only rise; a test gives its own.
        wall: Unix time; a test gives its own.
        fetch: how Dream Machine reads somebody else's URLs.
        fetch_url: how the Agents API reads them.
        habits: how Dream Machine answers where its documentation does not say.
    """

    def __init__(  # noqa: PLR0913 - everything that a test may decide
        self,
        *,
        token: str | None = None,
        agents_token: str | None = None,
        credit_usd: float = 100,
        speed: float = 1,
        limits: Mapping[str, Limits] | None = None,
        faults: list[Fault] | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        fetch: Fetch = fetch_input,
        fetch_url: FetchUrl = agents_app.fetch_url,
        habits: Habits | None = None,
    ) -> None:
        limits = DEFAULT_LIMITS | BUILD_TIER if limits is None else limits
        self.dream_machine = DreamMachineAccount(
            fetch=fetch,
            clock=clock,
            wall=wall,
            speed=speed,
            credit_usd=credit_usd,
            limits=limits,
        )
        self.agents = AgentsAccount(
            fetch=fetch_url,
            clock=clock,
            wall=wall,
            speed=speed,
            credit_usd=credit_usd,
            limits=limits,
        )
        self._dream_machine_api = DreamMachineApi(
            self.dream_machine, token=token, habits=habits or Habits(), moderation_due=self._moderation_due
        )
        self._agents_api = AgentsApi(self.agents, token=agents_token, wall=wall, moderation_due=self._moderation_due)
        self._lifespan_app = Starlette(lifespan=self._lifespan)
        self._faulty = FaultyApp(self._dispatch, faults if faults is not None else [])
        self.app: App = self._faulty

    @property
    def faults(self) -> list[Fault]:
        """The faults that are still to be produced; a test appends to them."""
        return self._faulty.faults

    @property
    def habits(self) -> Habits:
        """The habits of Dream Machine; a test changes them at any moment."""
        return self._dream_machine_api.habits

    @habits.setter
    def habits(self, habits: Habits) -> None:
        self._dream_machine_api.habits = habits

    @property
    def assets(self) -> AssetStore:
        """The files that were rendered for Dream Machine."""
        return self._dream_machine_api.assets

    @property
    def requests(self) -> list[tuple[str, str]]:
        """Method and path of every Dream Machine request that was accepted, in order."""
        return self._dream_machine_api.requests

    @property
    def agents_requests(self) -> list[tuple[str, str]]:
        """Method and path of every Agents request that was accepted, in order."""
        return self._agents_api.requests

    async def _dispatch(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """By the path: the two APIs have no prefix in common."""
        if scope["type"] == "lifespan":
            await self._lifespan_app(scope, receive, send)
        elif scope["path"].startswith(agents_app.PATHS):
            await self._agents_api.app(scope, receive, send)
        else:
            await self._dream_machine_api.app(scope, receive, send)

    def _moderation_due(self, method: str, path: str) -> str | None:
        return self._faulty.moderation_due(method, path)

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncGenerator[None]:
        async with self._dream_machine_api.running():
            try:
                yield
            finally:
                self._agents_api.outputs.close()
