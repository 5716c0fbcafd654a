"""Which small mistakes in the code would the tests notice? A random sample of mutants.

    make mutants                                     # results/mutants.json; goes on where it was stopped
    python benchmarks/mutants.py --only gram.py --limit 20 --out /tmp/some.json

The mutations are mutmut's: an argument dropped or None, a comparison, an operator, a number, a key, a branch changed.
Its runner is not used: it leaves decorated functions alone (`no_grad`, `property`), knows the tests of a function, not
of a line, and its trampolines break tests that start processes. Left out are docstrings, prose (strings with a space,
what `raise`, `assert` and `say` tell), annotations and decorators.

All happens in a copy of the checkout in a temporary folder. The suite runs once, under coverage with a context for
each test, in processes that tests start too. Then each mutant has a process of its own, forked from one that has torch
already. It runs the tests that execute the mutated line (for a line that runs at import: any), quickest first, until
one fails. Fates:

    killed      by the test named; "import" if the package cannot be imported any more
    timeout     a test took more than ten times as long as the slowest of its file: as good as killed
    survived    no test failed, or none runs the line, or the tests of --budget seconds did not see it

A stored fate counts as long as src/ is the same and, for a survivor, tests/ too. tests/mutants_equivalent.json names
mutants that change nothing anyone could see: {id: argument}. The score is killed / (sampled - argued equivalents).
"""

import argparse
import difflib
import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.metadata import version
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import coverage
import libcst as cst
import pytest
from libcst.metadata import CodeRange, MetadataWrapper, ParentNodeProvider, PositionProvider
from mutmut.mutation.mutators import mutation_operators

ROOT = Path(__file__).parents[1]
FOLDERS = [f"src/gram_reasoning/{name}" for name in ("models", "training", "inference", "evaluation")]
EQUIVALENT = ROOT / "tests" / "mutants_equivalent.json"
AHEAD = ("torch", "numpy", "numba", "matplotlib.pyplot", "networkx", "rich.table", "tyro", "accelerate")
QUICKEST = 30
"""Tests that are tried before others are collected."""
COVERAGE = """[run]
source = {copy}/src/gram_reasoning
data_file = {data}
parallel = true
context = ${{GRAM_TEST}}
disable_warnings = no-data-collected, module-not-imported, module-not-measured
"""


# -- mutants ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mutant:
    """One change of one file."""

    file: str
    line: int
    scope: str
    operator: str
    module: cst.Module
    at_import: bool
    """It runs when the file is imported: no function is around it, or it is the default of an argument."""
    node: cst.CSTNode
    changed: cst.CSTNode

    @cached_property
    def code(self) -> str:
        """The whole file with the change."""
        return self.module.deep_replace(self.node, self.changed).code  # type: ignore[arg-type]

    @cached_property
    def diff(self) -> list[str]:
        before, after = self.module.code.splitlines(), self.code.splitlines()
        return list(difflib.unified_diff(before, after, n=0, lineterm=""))[3:]

    @cached_property
    def id(self) -> str:
        """File, function and change: it stays the same when other lines come and go."""
        lines = [line.strip() for line in self.module.code.splitlines()]
        earlier = lines[: self.line - 1].count(lines[self.line - 1])
        change = " ".join(f"{row[0]} {row[1:].strip()}" for row in self.diff)
        return f"{self.file} {self.scope}: {change}" + (f" ({earlier + 1})" if earlier else "")

    def to_json(self) -> dict[str, Any]:
        plain = {name: getattr(self, name) for name in ("id", "file", "line", "scope", "operator")}
        return {**plain, "diff": "\n".join(self.diff)}


class Mutations(cst.CSTVisitor):
    """Collects every mutant of a file, in order."""

    METADATA_DEPENDENCIES = (PositionProvider, ParentNodeProvider)

    def __init__(self, file: str) -> None:
        super().__init__()
        self.file = file
        self.found: list[Mutant] = []
        self.scope: list[str] = []
        self.functions = 0
        """How many are around the node."""
        self.module = cst.parse_module((ROOT / file).read_text())
        MetadataWrapper(self.module, unsafe_skip_copy=True).visit(self)

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, (cst.FunctionDef, cst.ClassDef)):
            self.scope.append(node.name.value)
            self.functions += isinstance(node, cst.FunctionDef)
        elif self._left_out(node):
            return False
        for kind, operator in mutation_operators:
            if isinstance(node, kind):
                changes = list(operator(node))
                changes = changes[:1] if isinstance(node, cst.SimpleString) else changes  # the others differ in case
                name = operator.__name__.removeprefix("operator_")
                at_import = not self.functions or isinstance(node, cst.Param)
                place = self.file, self._line(node), ".".join(self.scope) or "module", name, self.module, at_import
                self.found += [Mutant(*place, node, changed) for changed in changes]
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if isinstance(original_node, (cst.FunctionDef, cst.ClassDef)):
            self.scope.pop()
            self.functions -= isinstance(original_node, cst.FunctionDef)

    def _line(self, node: cst.CSTNode) -> int:
        position = self.get_metadata(PositionProvider, node)
        assert isinstance(position, CodeRange)
        return position.start.line

    def _left_out(self, node: cst.CSTNode) -> bool:
        if isinstance(node, (cst.Annotation, cst.Decorator, cst.Import, cst.ImportFrom, cst.Raise)):
            return True
        if isinstance(node, cst.Param):  # defaults are made at import: simple ones only
            return not isinstance(node.default, (cst.Name, cst.BaseNumber, cst.SimpleString, type(None)))
        if isinstance(node, cst.SimpleString):
            parent = self.get_metadata(ParentNodeProvider, node)
            is_message = isinstance(parent, cst.Assert) and parent.msg is node
            return is_message or isinstance(parent, cst.Expr) or " " in node.value
        if isinstance(node, cst.Call):
            function = cst.Module([]).code_for_node(node.func)
            return function.split(".")[-1] in ("len", "isinstance", "say", "print", "cast")
        return isinstance(node, cst.Subscript) and cst.Module([]).code_for_node(node.value) == "Literal"


def sample(population: dict[str, list[Mutant]], number: int, seed: int) -> list[Mutant]:
    """`number` of the mutants, from each file its share: by largest remainder, drawn for each file alone."""
    total = sum(map(len, population.values()))
    exact = {file: number * len(mutants) / total for file, mutants in population.items()}
    share = {file: int(part) for file, part in exact.items()}
    for file in sorted(exact, key=lambda file: share[file] - exact[file])[: number - sum(share.values())]:
        share[file] += 1
    drawn = [random.Random(f"{seed} {file}").sample(population[file], share[file]) for file in sorted(population)]
    return [mutant for mutants in drawn for mutant in mutants]


# -- tests -----------------------------------------------------------------------------------------------------


class Watch:
    """A pytest plugin: which lines each test executes, and how long it takes."""

    def __init__(self, collector: coverage.Coverage) -> None:
        self.collector = collector
        self.seconds: dict[str, float] = defaultdict(float)
        self.failed: set[str] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        os.environ["GRAM_TEST"] = item.nodeid  # for the processes that it starts
        self.collector.switch_context(item.nodeid)
        result = yield
        self.collector.switch_context("")
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += report.duration
        if report.failed:
            self.failed.add(report.nodeid)


class Chosen:
    """A pytest plugin: runs these tests only, in this order, each with a time limit; remembers the first that fails."""

    def __init__(self, limits: dict[str, float]) -> None:
        self.limits, self.failed, self.message, self.missing = limits, "", "", False

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        by_name = {item.nodeid: item for item in items}
        self.missing = not self.limits.keys() <= by_name.keys()
        items[:] = [by_name[name] for name in self.limits if name in by_name]
        for item in items:
            item.add_marker(pytest.mark.timeout(self.limits[item.nodeid]))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.failed:
            self.failed, self.message = report.nodeid, str(report.longrepr)


def in_copy(copy: Path, log: Path) -> None:
    """Make this (forked) process one that runs the package and the tests of a copy."""
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(copy)
    temporary = copy.parent / f"{copy.name}-tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    tempfile.tempdir = os.environ["TMPDIR"] = str(temporary)
    sys.path.insert(0, str(copy / "src"))
    os.environ["PYTHONPATH"] = str(copy / "src")


def watch(copy: Path, folder: Path) -> None:
    """Run the whole suite of a copy under coverage; writes tests.json and lines.json."""
    in_copy(copy, folder / "suite.log")
    settings = folder / "coverage.ini"
    settings.write_text(COVERAGE.format(copy=copy, data=folder / "coverage"))
    os.environ["GRAM_TEST"] = ""
    collector = coverage.Coverage(config_file=str(settings))
    os.environ["COVERAGE_PROCESS_START"] = str(settings)
    collector.start()
    plugin = Watch(collector)
    pytest.main(["-q", "-p", "no:cacheprovider"], [plugin])
    collector.stop()
    collector.save()
    collector.combine()
    data, lines = collector.get_data(), {}
    for file in data.measured_files():
        contexts = data.contexts_by_lineno(file)
        named = {line: [name.split("|")[0] for name in names if name] for line, names in contexts.items()}
        lines[str(Path(file).relative_to(copy))] = {line: sorted(set(names)) for line, names in named.items()}
    (folder / "lines.json").write_text(json.dumps(lines))
    (folder / "tests.json").write_text(json.dumps({"seconds": plugin.seconds, "failed": sorted(plugin.failed)}))


def judge(copy: Path, limits: dict[str, float], answer: Path) -> None:
    """Run tests of a copy until one fails; writes what happened.

    Most mutants die of the quickest tests: so these have a process of their own, that need not collect the others.
    """
    in_copy(copy, answer.with_suffix(".log"))
    names = list(limits)
    for wave in filter(None, (names[:QUICKEST], names[QUICKEST:])):
        some = {name: limits[name] for name in wave}
        process = multiprocessing.get_context("fork").Process(target=run_tests, args=(some, answer))
        process.start()
        process.join()
        if process.exitcode:  # it crashed, and what the first wave said is not the whole truth
            answer.unlink(missing_ok=True)
            return
        if json.loads(answer.read_text())["by"]:
            return


def run_tests(limits: dict[str, float], answer: Path) -> None:
    """Run these tests in this process until one fails; writes what happened."""
    plugin = Chosen(limits)
    files = sorted({name.split("::")[0] for name in limits})
    code = pytest.main(["-q", "-x", "-p", "no:cacheprovider", *files], [plugin])
    fate, by = ("killed", plugin.failed) if plugin.failed else ("survived", None)
    if plugin.failed and "Timeout (" in plugin.message:
        fate = "timeout"
    if not plugin.failed and (plugin.missing or code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)):
        fate, by = "killed", "import"
    answer.write_text(json.dumps({"fate": fate, "by": by}))


# -- the run ---------------------------------------------------------------------------------------------------


def git(*arguments: str) -> str:
    return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True).stdout


def digest(folder: str) -> str:
    """Of the sources in a folder of the checkout."""
    hasher = hashlib.sha256()
    for path in sorted((ROOT / folder).rglob("*.py")):
        hasher.update(f"{path.relative_to(ROOT)}\n{path.read_text()}".encode())
    return hasher.hexdigest()[:16]


@dataclass(frozen=True)
class Running:
    """A mutant that is being judged."""

    process: BaseProcess
    mutant: Mutant
    copy: Path
    began: float
    deadline: float
    known: dict[str, Any]


def kill(process: BaseProcess) -> None:
    """End a process that has a session of its own, and the processes that its tests left behind."""
    assert process.pid is not None
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.join()


class Bench:
    """A folder of copies, and what the suite does there."""

    def __init__(self, folder: Path, jobs: int, budget: float) -> None:
        self.folder, self.budget, self.jobs = folder, budget, jobs
        folder.mkdir(parents=True, exist_ok=True)
        os.environ |= {"OMP_NUM_THREADS": "1", "NUMBA_CACHE_DIR": str(folder / "numba")}
        self.copies = [folder / f"copy-{n}" for n in range(jobs)]
        for copy in self.copies:
            shutil.rmtree(copy, ignore_errors=True)
            subprocess.run(["git", "clone", "-q", "--no-checkout", str(ROOT), str(copy)], check=True)
            subprocess.run(["git", "-C", str(copy), "reset", "-q"], check=True)  # so that git knows the files
            for name in git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"):
                if (ROOT / name).is_file():
                    (copy / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(ROOT / name, copy / name)
            # Bytecode that is checked by the content of its source, not by its time, which mutants share.
            quick = ["-m", "compileall", "-q", "--invalidation-mode", "checked-hash", str(copy / "src")]
            subprocess.run([sys.executable, *quick], check=True)

    def watch(self) -> None:
        """Run the suite once, if it has not been run on these sources."""
        state, stored = f"{digest('src')} {digest('tests')}", self.folder / "state"
        if not stored.exists() or stored.read_text() != state:
            stored.unlink(missing_ok=True)
            for path in self.folder.glob("coverage*"):
                path.unlink()
            process = multiprocessing.get_context("fork").Process(target=watch, args=(self.copies[0], self.folder))
            process.start()
            try:
                process.join()
            finally:
                kill(process)
            if process.exitcode:
                sys.exit(f"the suite could not be run: see {self.folder / 'suite.log'}")
            stored.write_text(state)
        tests = json.loads((self.folder / "tests.json").read_text())
        self.seconds: dict[str, float] = tests["seconds"]
        self.left_out: list[str] = tests["failed"]
        self.slowest: dict[str, float] = defaultdict(float)  # of a file: any test of it may have to make its fixtures
        for name, seconds in self.seconds.items():
            file = name.split("::")[0]
            self.slowest[file] = max(self.slowest[file], seconds)

    @cached_property
    def lines(self) -> dict[str, dict[str, list[str]]]:
        return json.loads((self.folder / "lines.json").read_text())

    def tests(self, mutant: Mutant) -> list[str]:
        """The tests that execute the mutated line, quickest first."""
        names = set(self.lines.get(mutant.file, {}).get(str(mutant.line), ()))
        if mutant.at_import:  # whatever test happened to import it first, each may see what was made then
            names = set(self.seconds)
        return sorted(names - set(self.left_out), key=lambda name: (self.seconds.get(name, 0.0), name))

    def start(self, mutant: Mutant, copy: Path) -> Running:
        """Begin to judge a mutant in a copy."""
        tests, limits, total = self.tests(mutant), {}, 0.0
        for name in tests:
            total += self.seconds[name]
            if total > self.budget and limits:
                break
            limits[name] = 30 + 10 * self.slowest[name.split("::")[0]]
        known = {"tests": len(limits), "tests_of_the_line": len(tests)}
        (copy / mutant.file).write_text(mutant.code)
        answer = copy.with_suffix(".json")
        answer.unlink(missing_ok=True)
        process = multiprocessing.get_context("fork").Process(target=judge, args=(copy, limits, answer))
        process.start()
        now = time.monotonic()
        return Running(process, mutant, copy, now, now + 120 + 5 * min(total, self.budget), known)

    def end(self, run: Running) -> dict[str, Any]:
        """What became of a mutant whose process ended or ran out of time."""
        late = run.process.is_alive()
        kill(run.process)
        (run.copy / run.mutant.file).write_text(run.mutant.module.code)  # not from the checkout, which may have changed
        answer = run.copy.with_suffix(".json")
        if answer.exists():
            return json.loads(answer.read_text())
        return {"fate": "timeout", "by": None} if late else {"fate": "killed", "by": "the whole process"}

    def judge(self, mutants: list[Mutant]) -> Iterator[tuple[Mutant, dict[str, Any]]]:
        """The fate of each mutant, as they come."""
        running: dict[Any, Running] = {}
        try:
            yield from self._judge(list(reversed(mutants)), running)
        finally:
            for run in running.values():
                kill(run.process)

    def _judge(self, todo: list[Mutant], running: dict[Any, Running]) -> Iterator[tuple[Mutant, dict[str, Any]]]:
        free = list(self.copies)
        while todo or running:
            while todo and free:
                mutant = todo.pop()
                if not self.tests(mutant):
                    yield mutant, {"fate": "survived", "by": None, "tests": 0, "tests_of_the_line": 0, "seconds": 0.0}
                    continue
                run = self.start(mutant, free.pop())
                running[run.process.sentinel] = run
            soonest = min((run.deadline for run in running.values()), default=0.0)
            ended = set(wait(list(running), max(0.0, soonest - time.monotonic())))
            late = {key for key, run in running.items() if run.deadline <= time.monotonic()}
            for key in ended | late:
                run = running.pop(key)
                fate = self.end(run)
                free.append(run.copy)
                yield run.mutant, {**fate, **run.known, "seconds": round(time.monotonic() - run.began, 1)}


def still_counts(entry: dict[str, Any], before: dict[str, Any], now: dict[str, str], tests: dict[str, float]) -> bool:
    """Whether a stored fate is one of today's code."""
    if before.get("src") != now["src"]:
        return False
    return before.get("tests") == now["tests"] or entry["by"] in tests


def totals(entries: list[dict[str, Any]], equivalents: dict[str, str]) -> dict[str, Any]:
    """The counts of the fates, and the score."""
    argued = [e for e in entries if e["id"] in equivalents]
    fates = Counter(e["fate"] for e in entries)
    killed = fates["killed"] + fates["timeout"] - sum(e["fate"] != "survived" for e in argued)
    rest = len(entries) - len(argued)
    return {
        "judged": len(entries), **fates, "argued_equivalent": len(argued), "score": round(killed / max(1, rest), 4)
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Judge the tests by mutants of the code.")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "mutants.json")
    parser.add_argument("--number", type=int, default=300, help="mutants in the sample")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="judge so many of the sample now, spread over its files")
    parser.add_argument("--only", default="", help="judge those of files whose path holds this")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="mutants at a time")
    parser.add_argument("--budget", type=float, default=120.0, help="seconds that the tests of a mutant may take")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "gram-mutants")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # as Ctrl-C: nothing goes on without this process

    files = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    names = [str(path.relative_to(ROOT)) for path in files]
    population = {name: Mutations(name).found for name in names}
    drawn = sample(population, options.number, options.seed)
    equivalents = json.loads(EQUIVALENT.read_text()) if EQUIVALENT.exists() else {}
    for stale in equivalents.keys() - {mutant.id for mutant in drawn}:
        print(f"{EQUIVALENT.name}: not in the sample: {stale}")
    print(f"{len(drawn)} of {sum(map(len, population.values()))} mutants in {len(files)} files", flush=True)

    for module in AHEAD:
        import_module(module)
    bench = Bench(options.folder, options.jobs, options.budget)
    began = time.monotonic()
    bench.watch()
    print(f"{len(bench.seconds)} tests take {sum(bench.seconds.values()):.0f} s", flush=True)
    for name in bench.left_out:
        print(f"left out, since it fails without any mutation: {name}")

    now = {"src": digest("src"), "tests": digest("tests")}
    before = json.loads(options.out.read_text()) if options.out.exists() else {}
    kept = {e["id"]: e for e in before.get("mutants", ()) if still_counts(e, before, now, bench.seconds)}
    entries = {mutant.id: kept[mutant.id] for mutant in drawn if mutant.id in kept}
    waiting = [mutant for mutant in drawn if mutant.id not in kept and options.only in mutant.file]
    random.Random(options.seed).shuffle(waiting)
    order = {mutant.id: n for n, mutant in enumerate(drawn)}
    for mutant, fate in bench.judge(waiting[: options.limit]):
        entries[mutant.id] = {**mutant.to_json(), **fate}
        ordered = sorted(entries.values(), key=lambda e: order[e["id"]])
        result = {"tool": f"mutmut {version('mutmut')}", "seed": options.seed, "sampled": len(drawn), **now}
        result |= {"left_out_tests": bench.left_out, "totals": totals(ordered, equivalents), "mutants": ordered}
        options.out.write_text(json.dumps(result, indent=1) + "\n")
        print(f"{fate['fate']:9} {fate['seconds']:6.1f} s  {mutant.id}  {fate['by'] or ''}", flush=True)
    print(json.dumps(totals(list(entries.values()), equivalents)), f"in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
