"""Mutation testing of the code that spends money: `just mutants`, or `python -m tests.mutation MODULE...`.

A mutant is the code with one small change, such as `<` where `<=` stood. At least one test must fail for each. The
changes are those of cosmic-ray. Every mutant is tested in a process that is forked from one that has imported the
libraries, so a mutant takes about a second and no file is changed. Only the tests that run the changed line are
started; for what runs at the import, such as a constant, those are all.

`survivors.toml` lists the mutants that no test can tell from the code, each with a reason. The run fails if a mutant
survives that is not on the list, and if the list has one that the code does not have or that a test does tell.
"""

import argparse
import ast
import contextlib
import difflib
import importlib
import importlib.abc
import importlib.machinery
import io
import itertools
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType

import coverage
import pytest
from cosmic_ray.mutating import MutationVisitor
from cosmic_ray.plugins import get_operator, operator_names

from tests.survivors import TESTS, known_survivors, strangers, unused

ROOT = Path(__file__).parents[1]
_LIBRARIES = ("hypothesis", "httpx2", "mcp", "mcp.server", "psycopg", "starlette.applications", "uvicorn", "av", "PIL")
# Operators whose mutants of this code are no operations at all: bits of dollars, `X | None` in a type.
_NO_OPERATOR = re.compile(
    r"(BitOr|BitAnd|BitXor|LShift|RShift|Mod|Pow|FloorDiv)|Eq_IsNot|Eq_Is$|variable_(inserter|replacer)"
)
# Whether a dataclass is frozen, and how its arguments are passed, is what the type checker looks at.
_FOR_THE_TYPE_CHECKER = re.compile(r"[-+]\s*@dataclass")
_SELECTION = [
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",
    "-m",
    "not slow and not browser and not services",
    "-k",
    "not trio and not legacy",
]
# The tests of a module take up to half a minute; a mutant that hangs is one that is seen.
_LONGEST_SECONDS = 120


@dataclass(frozen=True)
class Mutant:
    """A module with one change.

    Args:
        module: the module's path inside `luma_mcp`, without an ending.
        source: the whole changed code.
        change: the lines that differ, as a diff shows them.
        lines: the numbers of the lines of the module that are other in the mutant.
    """

    module: str
    source: str
    change: tuple[str, ...]
    lines: range


class _MutantFinder(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports a mutant in the place of its module."""

    def __init__(self, mutant: Mutant) -> None:
        self._name = "luma_mcp." + mutant.module.replace("/", ".")
        self._mutant = mutant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        return spec_from_loader(fullname, self) if fullname == self._name else None

    def get_source(self, fullname: str) -> str:
        return self._mutant.source


def mutants(module: str) -> Iterator[Mutant]:
    """All mutants of a module that can be compiled."""
    original = (ROOT / "luma_mcp" / f"{module}.py").read_text()
    seen = {original}
    for name in operator_names():
        if _NO_OPERATOR.search(name):
            continue
        for occurrence in itertools.count():
            try:
                changed = MutationVisitor.mutate_code(original, get_operator(name)(), occurrence)
            except (TypeError, AttributeError):  # an operator that asks for arguments, or cannot change this code
                break
            if changed is None:
                break
            if changed not in seen:
                seen.add(changed)
                change, lines = _difference(original.splitlines(), changed.splitlines())
                if not all(_FOR_THE_TYPE_CHECKER.match(line) for line in change):
                    yield Mutant(module, changed, change, lines)


def _difference(original: list[str], changed: list[str]) -> tuple[tuple[str, ...], range]:
    """The lines that differ, with - and +, and which lines of the original they are."""
    diff = itertools.islice(difflib.unified_diff(original, changed, n=0, lineterm=""), 3, None)
    blocks = difflib.SequenceMatcher(None, original, changed, autojunk=False).get_opcodes()
    others = [block for block in blocks if block[0] != "equal"]
    lines = range(others[0][1] + 1, max(others[-1][2], others[0][1] + 1) + 1)
    return tuple(re.sub(r"\s+", " ", line) for line in diff if line[0] in "+-"), lines


def changed_lines(module: str, revision: str) -> set[int]:
    """The numbers of the lines of a module that were changed since a commit."""
    command = ["git", "diff", "--unified=0", revision, "--", f"luma_mcp/{module}.py"]
    diff = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    lines: set[int] = set()
    for begin, count in re.findall(r"^@@ -\S+ \+(\d+)(?:,(\d+))? @@", diff, re.MULTILINE):
        lines.update(range(int(begin), int(begin) + int(count or 1)))
    return lines


class _Contexts:
    """A pytest plugin that tells coverage which test runs."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self._coverage = measured

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._coverage.switch_context(item.nodeid)
        return (yield)


def tests_by_line(module: str) -> dict[int, list[str]]:
    """The tests that run each line of a module; "" is its import. To be called in a forked process.

    Raises:
        SystemExit: a test fails.
    """
    path = str(ROOT / "luma_mcp" / f"{module}.py")
    measured = coverage.Coverage(data_file=None, include=[path], config_file=False)
    measured.start()
    if not run_tests(TESTS[module], _Contexts(measured)):
        raise SystemExit(f"The tests of {module} fail without a mutant.")
    measured.stop()
    return measured.get_data().contexts_by_lineno(path)


def tests_of(mutant: Mutant, by_line: Mapping[int, Sequence[str]]) -> frozenset[str] | None:
    """The tests that run the statements in which a mutant differs; None for all tests of the module."""
    found: set[str] = set()
    for statement in _statements(mutant):
        tests = {test for line in statement for test in by_line.get(line, [])}
        if not tests or "" in tests:
            return None
        found |= tests
    return frozenset(found) or None


def _statements(mutant: Mutant) -> Iterator[range]:
    """The lines of each statement in which a mutant differs; of a compound one, those of its head."""
    for node in ast.walk(ast.parse((ROOT / "luma_mcp" / f"{mutant.module}.py").read_text())):
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            end = max(body[0].lineno, node.lineno + 1) if body else (node.end_lineno or node.lineno) + 1
            if node.lineno < mutant.lines.stop and end > mutant.lines.start:
                yield range(node.lineno, end)


class _Only:
    """A pytest plugin that leaves out all tests but these."""

    def __init__(self, tests: frozenset[str]) -> None:
        self._tests = tests

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if item.nodeid in self._tests]


def run_tests(names: Sequence[str], *plugins: object) -> bool:
    """Whether these tests pass. What they print is not shown."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        arguments = ["-x", "-q", "-n", "0", "--hypothesis-seed=0", "--rootdir", str(ROOT), *_SELECTION, *names]
        return pytest.main(arguments, plugins=list(plugins)) == 0


def is_killed(mutant: Mutant, tests: frozenset[str] | None, *, is_listed: bool) -> bool:
    """Whether one of the tests fails for it, or they do not end. To be called in a forked process.

    One that its own tests let live has all tests of the module to pass, unless it is on the list: which test runs a
    line is not always seen where threads work.
    """
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process
    signal.alarm(_LONGEST_SECONDS)
    sys.meta_path.insert(0, _MutantFinder(mutant))
    if tests is not None:
        files = [name for name in TESTS[mutant.module] if any(test.startswith(name) for test in tests)]
        if not run_tests(files, _Only(tests)):
            return True
        if is_listed:
            return False
    return not run_tests(TESTS[mutant.module])


def survivors(
    tested: Iterator[Mutant], by_line: Mapping[int, Sequence[str]], listed: Collection[object], at_once: int
) -> Iterator[Mutant]:
    """The mutants for which no test fails. `listed` are those that are known to survive, by module and change."""
    running: dict[int, Mutant] = {}
    for mutant in itertools.chain(tested, [None]):
        while running and (mutant is None or len(running) == at_once):
            pid, status = os.wait()
            ended = running.pop(pid)
            if status == 0:
                yield ended
        if mutant is not None:
            tests = tests_of(mutant, by_line)
            pid = os.fork()
            if pid == 0:
                is_listed = (mutant.module, mutant.change) in listed
                os._exit(1 if is_killed(mutant, tests, is_listed=is_listed) else 0)
            running[pid] = mutant


def main() -> int:
    """Test the mutants of the named modules; 1 if one survives that is not listed, or a listed one does not."""
    parser = argparse.ArgumentParser(description="Mutation testing of the code that spends money.")
    parser.add_argument("modules", nargs="*", default=list(TESTS), metavar="MODULE", help=", ".join(TESTS))
    parser.add_argument("--at-once", type=int, default=os.cpu_count() or 1, help="how many at the same time")
    parser.add_argument("--since", metavar="COMMIT", help="only mutants of lines that were changed since then")
    chosen = parser.parse_args()
    for library in _LIBRARIES:
        importlib.import_module(library)
    known = known_survivors()
    for name in strangers(known):
        print(f"# survivors.toml names {name}, which is not tested", flush=True)
    surprises = len(strangers(known))
    for module in chosen.modules:
        tested = list(mutants(module))
        if chosen.since:
            changed = changed_lines(module, chosen.since)
            tested = [mutant for mutant in tested if changed & set(mutant.lines)]
        if not tested:
            continue
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as child:
            by_line = child.submit(tests_by_line, module).result()
        living: list[Mutant] = []
        new = 0
        for mutant in survivors(iter(tested), by_line, known, chosen.at_once):
            living.append(mutant)
            if (module, mutant.change) not in known:
                new += 1
                # What JSON writes is TOML, too.
                change = json.dumps(list(mutant.change), ensure_ascii=False)
                print(f'[[mutant]]\nmodule = "{module}"\nchange = {change}\nreason = ""\n', flush=True)
        print(f"# {module}: {len(tested)} mutants, {len(living)} survive, {new} of them unlisted", flush=True)
        changes = {mutant.change for mutant in tested}, {mutant.change for mutant in living}
        surplus = unused(known, module, *changes, is_whole=not chosen.since)
        for sentence in surplus:
            print(f"# {module}: survivors.toml has one too many. {sentence}", flush=True)
        surprises += new + len(surplus)
    return 1 if surprises else 0


if __name__ == "__main__":
    raise SystemExit(main())
