"""A real MCP client, our real server and the emulator, all in memory; time passes only when somebody waits."""

import os
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from datetime import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio.to_thread
import psycopg
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from mcp import Client

from luma_mcp.backends.dream_machine.client import DreamMachine
from luma_mcp.backends.transport import Transport
from luma_mcp.composition import build_server, build_services
from luma_mcp.config.settings import Settings
from luma_mcp.emulator.app import Emulator
from luma_mcp.mcp.services import Services
from luma_mcp.media import worker
from tests.support.agent import BASE_URL, NOON, TOKEN, Agent, HeldClock, InMemory, Threads, TimeOfDay, fetch
from tests.support.postgres import running
from tests.support.secrecy import read_report, secrecy

# The machine's speed is no part of what a property says.
hypothesis_settings.register_profile(
    "house", deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("house")


@pytest.fixture(autouse=True)
def media_in_a_thread(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decode in this process: each event loop starts a child of its own, and there is one for each test."""

    async def run(function: Callable[..., Any], *arguments: object, **_limits: object) -> Any:
        return await anyio.to_thread.run_sync(worker.translated, function, *arguments)

    if request.node.get_closest_marker("child_process") is None:
        monkeypatch.setattr(worker, "run", run)


@pytest.fixture(autouse=True)
def counted_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A held clock waits for what runs in threads, on a busy machine too."""
    monkeypatch.setattr(Threads, "running", 0)
    monkeypatch.setattr(anyio.to_thread, "run_sync", Threads.counted(anyio.to_thread.run_sync))


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=["auto", "legacy"])
def era(request: pytest.FixtureRequest) -> str:
    """Both eras of the protocol: 2026-07-28, and the handshake of those before."""
    return request.param


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest.fixture
def in_one_day(clock: HeldClock) -> None:
    """For a test that states a fact about today: its clock starts at noon in any run."""
    clock.set_time_of_day(NOON)


@pytest.fixture
def emulator(clock: HeldClock) -> Iterator[Emulator]:
    made = Emulator(token=TOKEN, credit_usd=1000, limits={}, clock=clock.now, wall=clock.luma_wall, fetch=fetch)
    yield made
    made.assets.close()


@pytest.fixture
def transport(emulator: Emulator) -> InMemory:
    return InMemory(emulator)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "output"


@pytest.fixture
def ledger_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ledger; never the person's own."""
    return tmp_path_factory.mktemp("ledger") / "purchases.sqlite3"


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A PostgreSQL server of our own; tests that ask for it are marked `services`."""
    with running() as address:
        yield address


@pytest.fixture
def database(postgres: str) -> str:
    """An empty database."""
    name = f"ledger_{uuid4().hex}"
    with psycopg.connect(f"{postgres}/postgres", autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}".encode())
    return f"{postgres}/{name}"


@pytest.fixture
def settings(output: Path, ledger_path: Path) -> Settings:
    return Settings.from_environment(
        {
            "LUMA_TOKEN": TOKEN,
            "LUMA_BASE_URL": BASE_URL,
            "LUMA_OUTPUT_DIR": str(output),
            "LUMA_LEDGER": str(ledger_path),
        }
    )


@pytest.fixture
async def luma(transport: InMemory, clock: HeldClock) -> AsyncIterator[DreamMachine]:
    client = DreamMachine(Transport(TOKEN, base_url=BASE_URL, clock=clock, network=transport))
    yield client
    await client.close()


@pytest.fixture
async def services(settings: Settings, transport: InMemory, clock: HeldClock) -> AsyncIterator[Services]:
    made = build_services(settings, transport, clock)
    async with made.running():
        yield made


@pytest.fixture
async def agent(settings: Settings, transport: InMemory, clock: HeldClock, era: str) -> AsyncIterator[Agent]:
    async with Client(build_server(settings, transport=transport, clock=clock), mode=era) as client:
        yield Agent(client)


ServerFactory = Callable[..., Any]


@pytest.fixture
def serve(transport: InMemory, clock: HeldClock, output: Path, ledger_path: Path) -> ServerFactory:
    """A server for an environment of the test's own."""

    def build(**environment: str) -> Any:
        values = {
            "LUMA_TOKEN": TOKEN,
            "LUMA_BASE_URL": BASE_URL,
            "LUMA_OUTPUT_DIR": str(output),
            "LUMA_LEDGER": str(ledger_path),
        }
        return build_server(Settings.from_environment({**values, **environment}), transport=transport, clock=clock)

    return build


__all__ = ["secrecy"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    read_report(report)
    return report


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Each event loop is tried, and each era of the protocol, but the older era on the second loop says nothing new.

    Nor do tests that take long: the server runs on asyncio.
    """
    twice = [item for item in items if _runs_on(item, "trio") and (_takes_long(item) or _is_legacy(item))]
    items[:] = [item for item in items if item not in twice]
    config.hook.pytest_deselected(items=twice)


def _runs_on(item: pytest.Item, loop: str) -> bool:
    return _parameters_of(item).get("anyio_backend") == loop


def _is_legacy(item: pytest.Item) -> bool:
    return _parameters_of(item).get("era") == "legacy"


def _takes_long(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in ("medium", "slow"))


def _parameters_of(item: pytest.Item) -> dict[str, object]:
    return item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}


def pytest_xdist_auto_num_workers() -> int:
    """One more than processors, for some tests wait for other processes and compute nothing."""
    return (os.cpu_count() or 1) + 1


def pytest_configure(config: pytest.Config) -> None:
    TimeOfDay.start = config.getoption("--clock-start")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--clock-start", type=time.fromisoformat, default=TimeOfDay.start, metavar="HH:MM:SS",
        help="the local time at which the clocks of tests start (default: noon), such as 23:59:30",
    )  # fmt: skip
    parser.addoption("--update-snapshots", action="store_true", help="write the snapshots instead of comparing")
    parser.addoption("--films", type=int, default=15, help="how many films tests/film/test_killed.py makes")
    parser.addoption("--calls", type=int, default=360, help="how many calls test_fuzz.py makes")
    parser.addoption("--screenshots", help="the folder to keep the browser's pictures in")
