"""Where ARC tasks come from: folders, combined files, the official releases; and which sets may be learnt together."""

import hashlib
import http.client
import io
import json
import re
import tarfile
import urllib.request
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gram_reasoning.errors import UserError
from gram_reasoning.storage.cache import cache_folder, made
from gram_reasoning.storage.files import write_whole
from gram_reasoning.tasks.arc_canvas import COLORS, Grid

LARGEST = 30
"""Longest side of a grid."""
SHIPPED = Path(__file__).parent / "arc_tasks"
SECONDS = 60
"""Patience with a server."""


@dataclass(frozen=True)
class Riddle:
    """One ARC task."""

    name: str
    demonstrations: tuple[tuple[Grid, Grid], ...]
    """Inputs with their outputs."""
    tests: tuple[tuple[Grid, Grid | None], ...]
    """Inputs, with their outputs where those are known."""


@dataclass(frozen=True)
class Release:
    """Files of a public repository at one commit."""

    repository: str
    commit: str
    sha256: dict[str, str]
    """Of each set, as `_packed` writes it."""


RELEASES = {
    "arc1": Release(
        "fchollet/ARC-AGI",
        "399030444e0ab0cc8b4e199870fb20b863846f34",
        {
            "training": "21875aec0e05135a9bd38b3f29a8e6ac8184a7b3eec6a5ac4cfbd27ec2bbafc1",
            "evaluation": "77e06af5e6c68304054f07c12945786f8618b6b471299279a6cc4ecf0f7f6f36",
        },
    ),
    "arc2": Release(
        "arcprize/ARC-AGI-2",
        "f3283f727488ad98fe575ea6a5ac981e4a188e49",
        {
            "training": "ded3d8eb1f19bc85e624bdc79ddb23178cf90726748b2e501d4c02cbcf277ac0",
            "evaluation": "2858a6ca7691d38a4011405234feb2286b144881e50706e10cfcb20f6a2f1d02",
        },
    ),
    "concept": Release(
        "victorvikram/ConceptARC",
        "b22ef526b4656679816b7811e78f55cc24d736d7",
        {
            "concept": "b7240437079bfe57d60cd575c9122c8eeb25c9338aeba84132dc0042516bfc89",
        },
    ),
}
PARTS = {"training": "data/training/", "evaluation": "data/evaluation/", "concept": "corpus/"}
"""The folder of each set in its repository."""


def read_set(part: str, source: str, version: int) -> list[Riddle]:
    """The tasks of a set, by name; see ArcConfig for what a source may be.

    Args:
        part: "training", "evaluation" or "concept".

    Raises:
        UserError: the source is missing, damaged or cannot be fetched; with file, task and grid.
    """
    if source == "none":
        return []
    path = SHIPPED if source == "shipped" else Path(source)
    if source == "official":
        riddles = _official(part, version)
    elif path.is_dir():
        files = sorted(path.glob("*.json"))
        if not files:
            raise UserError(f"--task.{part} {source}: no JSON files in this folder, expected one for each task")
        riddles = [_riddle(file.stem, load(file), str(file)) for file in files]
    elif path.is_file():
        riddles = _combined(path)
    else:
        expected = "a folder of tasks or a file NAME_challenges.json, or `official`, or `none`"
        raise UserError(f"--task.{part} {source}: no such file or folder, expected {expected}")
    for riddle in riddles:
        if any(output is None for _, output in riddle.tests):
            raise UserError(f"{source}, task {riddle.name}: a test pair without output, expected its solution")
    return riddles


def load(path: Path) -> Any:
    """The value of a JSON file of tasks."""
    try:
        return parse_json(path.read_bytes(), str(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}), expected ARC tasks") from error


def parse_json(content: bytes | str, where: str) -> Any:
    """The value of a JSON text; other text is a UserError."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: cannot be read as JSON ({error}), expected ARC tasks") from error


def _combined(path: Path) -> list[Riddle]:
    """The tasks of NAME_challenges.json, their test outputs from NAME_solutions.json."""
    name = re.fullmatch(r"(.*)challenges\.json", path.name)
    if name is None:
        raise UserError(f"{path}: expected a folder of tasks, or a combined file named NAME_challenges.json")
    solutions_path = path.with_name(f"{name[1]}solutions.json")
    if not solutions_path.is_file():
        raise UserError(f"{solutions_path}: no such file, expected the solutions of {path.name}")
    challenges, solutions = load(path), load(solutions_path)
    for value, where in ((challenges, path), (solutions, solutions_path)):
        if not isinstance(value, dict) or not value:
            raise UserError(f"{where}: {_kind(value)}, expected an object with an entry for each task")
    if odd := sorted(challenges.keys() ^ solutions.keys()):
        there, missing = (path, solutions_path) if odd[0] in challenges else (solutions_path, path)
        raise UserError(f"{missing}: no task {odd[0]}, which {there.name} has; expected the same tasks in both")
    riddles = []
    for key, value in challenges.items():
        riddle, outputs = _riddle(key, value, str(path)), solutions[key]
        if not isinstance(outputs, list) or len(outputs) != len(riddle.tests):
            got = f"{len(outputs)} outputs" if isinstance(outputs, list) else _kind(outputs)
            raise UserError(f"{solutions_path}, task {key}: {got}, expected {len(riddle.tests)}, as it has test inputs")
        grids = [grid(g, f"{solutions_path}, task {key}, test {i}") for i, g in enumerate(outputs, 1)]
        tests = tuple((test, output) for (test, _), output in zip(riddle.tests, grids, strict=True))
        riddles.append(Riddle(key, riddle.demonstrations, tests))
    return riddles


def riddles_of(value: Any, where: str, name: str) -> list[Riddle]:
    """The tasks of a JSON value: one task, or an object with several by name."""
    if isinstance(value, dict) and value and not {"train", "test"} & value.keys():
        return [_riddle(key, task, where) for key, task in value.items()]
    return [_riddle(name, value, where)]


def _riddle(name: str, value: Any, where: str) -> Riddle:
    place = f"{where}, task {name}"
    if not isinstance(value, dict) or not {"train", "test"} <= value.keys():
        got = f"an object with {', '.join(sorted(value)) or 'nothing'}" if isinstance(value, dict) else _kind(value)
        raise UserError(f"{place}: {got[:80]}, expected a task: an object with train and test")
    pairs: dict[str, list[tuple[Grid, Grid | None]]] = {"train": [], "test": []}
    for part, found in pairs.items():
        items = value[part]
        if not isinstance(items, list) or not items:
            raise UserError(f"{place}, {part}: {_kind(items)}, expected a list of at least one pair")
        for i, item in enumerate(items, 1):
            here = f"{place}, {part} {i}"
            needed = {"input", "output"} if part == "train" else {"input"}
            if not isinstance(item, dict) or not needed <= item.keys():
                raise UserError(f"{here}: {_kind(item)}, expected an object with {' and '.join(sorted(needed))}")
            unknown = part == "test" and item.get("output") is None
            output = None if unknown else grid(item["output"], f"{here}, output")
            found.append((grid(item["input"], f"{here}, input"), output))
    demonstrations = tuple((i, o) for i, o in pairs["train"] if o is not None)
    return Riddle(name, demonstrations, tuple(pairs["test"]))


def grid(value: Any, where: str) -> Grid:
    """A grid, checked."""
    if not isinstance(value, list) or not 1 <= len(value) <= LARGEST:
        got = f"{len(value)} rows" if isinstance(value, list) else _kind(value)
        raise UserError(f"{where}: {got}, expected a grid: a list of 1 to {LARGEST} rows")
    for r, row in enumerate(value, 1):
        if not isinstance(row, list) or not 1 <= len(row) <= LARGEST:
            got = f"{len(row)} cells" if isinstance(row, list) else _kind(row)
            raise UserError(f"{where}, row {r}: {got}, expected a list of 1 to {LARGEST} colours")
        if len(row) != len(value[0]):
            raise UserError(f"{where}, row {r}: {len(row)} cells, expected {len(value[0])} as in the first row")
        for c, cell in enumerate(row, 1):
            if type(cell) is not int or not 0 <= cell < COLORS:
                raise UserError(f"{where}, row {r}, cell {c}: {str(cell)[:40]!r}, expected a colour from 0 to 9")
    return value


def _kind(value: Any) -> str:
    """What a JSON value is, for messages."""
    if isinstance(value, dict | list) and not value:
        return "nothing"
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")


# -- leaks -----------------------------------------------------------------------------------------------------


def refuse_leak(learnt: dict[str, list[Riddle]], judged: list[Riddle]) -> None:
    """UserError if a set that is learnt holds what the evaluation set asks: a task by name, or a test pair.

    Most of the ARC-AGI-1 evaluation tasks are in the ARC-AGI-2 training set.
    """
    names = {riddle.name for riddle in judged}
    tests = {_text(pair): riddle.name for riddle in judged for pair in riddle.tests}
    for part, riddles in learnt.items():
        shared = {r.name for r in riddles if r.name in names}
        shared |= {tests[key] for r in riddles for pair in r.demonstrations if (key := _text(pair)) in tests}
        if shared:
            raise UserError(
                f"--task.{part}: {len(shared)} tasks of the evaluation set are in it, such as {min(shared)}: what is "
                "judged would be learnt; expected disjoint sets, or --task.allow-leak"
            )


def _text(pair: Any) -> str:
    return json.dumps(pair)


# -- the official releases -------------------------------------------------------------------------------------


def _official(part: str, version: int) -> list[Riddle]:
    """An official set, fetched once into the cache: one file, an object with every task by name."""
    release = RELEASES["concept" if part == "concept" else f"arc{version}"]
    path = cache_folder() / f"{release.repository.split('/')[1].lower()}-{release.commit[:8]}-{part}.json"
    if not path.is_file():
        made(path.parent)
        write_whole(path, _fetch(release, part))
    value = load(path)
    if hashlib.sha256(_packed(value)).hexdigest() != release.sha256[part]:
        raise UserError(f"{path}: not the {part} set of {release.repository}; remove it to have it fetched again")
    return riddles_of(value, str(path), part)


def _fetch(release: Release, part: str) -> bytes:
    """The tasks of a part of a release, as one JSON object."""
    address = f"https://codeload.github.com/{release.repository}/tar.gz/{release.commit}"
    remedy = "a network, or the files: --task.training, --task.evaluation and --task.concept FOLDER"
    try:
        with urllib.request.urlopen(address, timeout=SECONDS) as answer:
            archive = answer.read()
        tasks: dict[str, Any] = {}
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as files:
            for member in files:
                inner = member.name.partition("/")[2]
                if member.isfile() and inner.startswith(PARTS[part]) and inner.endswith(".json"):
                    content = files.extractfile(member)
                    tasks[Path(inner).stem] = json.loads(content.read() if content is not None else b"")
    except (OSError, EOFError, http.client.HTTPException, tarfile.TarError, zlib.error, ValueError) as error:
        raise UserError(f"{address}: not in the cache, and cannot be fetched ({error}); expected {remedy}") from error
    content = _packed(tasks)
    if hashlib.sha256(content).hexdigest() != release.sha256[part]:
        raise UserError(f"{address}: {len(tasks)} tasks that are not those of the release; expected {remedy}")
    return content


def _packed(tasks: Any) -> bytes:
    return json.dumps(tasks, sort_keys=True, separators=(",", ":")).encode()
