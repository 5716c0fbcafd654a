"""The package from Python: load a model, solve with it, share it.

import gram_reasoning

solver = gram_reasoning.load("nqueens7")
solved = solver.solve("......./......./....Q../......./......./......./.......", samples=100)
print(solved.known_solutions, [answer.text for answer in solved.solutions])
"""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from gram_reasoning.build import load_config, load_model, model_folder
from gram_reasoning.config import Recipe
from gram_reasoning.errors import UserError, check
from gram_reasoning.evaluation.card import model_card
from gram_reasoning.inference.pool import HaltBy
from gram_reasoning.inference.sampler import Decode, FlowBy, SamplerConfig
from gram_reasoning.inference.select import Rule
from gram_reasoning.inference.set_config import Choose, Explore, Score, SetConfig
from gram_reasoning.inference.solve import Answer, Solved, solve, solve_sets
from gram_reasoning.models.base import Model
from gram_reasoning.nn.precision import Precision, in_float32
from gram_reasoning.processes import choose_device
from gram_reasoning.storage import checkpoint, hub
from gram_reasoning.tasks.base import Task, lacks
from gram_reasoning.tasks.text import Puzzle, Text
from gram_reasoning.typed import typed

__all__ = ["Answer", "Solved", "Solver", "load"]

GROUP = 64  # inputs that are solved together


@dataclass(frozen=True)
class Solver:
    """A trained model and its task."""

    recipe: Recipe
    """How it was trained."""
    task: Task
    model: Model
    config: dict[str, Any]
    """The model's config.json."""
    card: str | None
    """The model's README.md, if it has one."""

    @classmethod
    @typed
    def from_pretrained(cls, name: str | Path, device: str = "auto") -> "Solver":
        """The same as `load`."""
        folder = model_folder(name)
        card = folder / hub.CARD
        loaded = load_model(folder, choose_device(device))
        return cls(*loaded, load_config(folder), card.read_text(encoding="utf-8") if card.is_file() else None)

    def __repr__(self) -> str:
        size = sum(p.numel() for p in self.model.parameters())
        device = next(self.model.parameters()).device
        return f"Solver({self.recipe.name}: {self.task.name}, {size:,} parameters, on {device})"

    def solve(
        self,
        puzzle: Any,
        *,
        samples: int | None = None,
        steps: int | None = None,
        halting: bool = False,
        halt_by: HaltBy = "confidence",
        halt_at: float = 0.95,
        random_start: bool = False,
        latent_noise: float | None = None,
        draw_tokens: bool = False,
        temperature: float | None = None,
        decode: Decode | None = None,
        flow: FlowBy | None = None,
        precision: Precision = "fp32",
        select: Rule = "majority",
        chunk: int = 512,
        seed: int = 0,
    ) -> Solved:
        """What the model finds for one input; what that may be, and the options, say `solve_many`."""
        [solved] = self.solve_many(
            [puzzle],
            samples=samples,
            steps=steps,
            halting=halting,
            halt_by=halt_by,
            halt_at=halt_at,
            random_start=random_start,
            latent_noise=latent_noise,
            draw_tokens=draw_tokens,
            temperature=temperature,
            decode=decode,
            flow=flow,
            precision=precision,
            select=select,
            chunk=chunk,
            seed=seed,
        )
        return solved

    @typed
    def solve_many(
        self,
        puzzles: Iterable[Any],
        *,
        samples: int | None = None,
        steps: int | None = None,
        halting: bool = False,
        halt_by: HaltBy = "confidence",
        halt_at: float = 0.95,
        random_start: bool = False,
        latent_noise: float | None = None,
        draw_tokens: bool = False,
        temperature: float | None = None,
        decode: Decode | None = None,
        flow: FlowBy | None = None,
        precision: Precision = "fp32",
        select: Rule = "majority",
        chunk: int = 512,
        seed: int = 0,
    ) -> Iterator[Solved]:
        """Yield what the model finds for each input: every distinct answer, best first, checked against the rules.

        Args:
            puzzles: one input each, taken 64 at a time: text as `gram solve` reads it, nested lists, a numpy array or a
                tensor (rows of cells, 0 or None where open; of a graph its edges, or its matrix).
            samples: trajectories for each input; the default is the recipe's.
            steps: supervision steps of each; the default is as many as in training.
            halting: a trajectory ends when it is sure of its answer; `steps` is then the budget.
            halt_by: sure by its decoder, all tokens together ("confidence"), or by its halt head ("head").
            halt_at: the probability above which it is sure.
            random_start: draw z_0 anew for each trajectory: how a model without noise can vary.
            latent_noise: normal noise of this size on the latent state before every step; the default is the recipe's.
                With select "halt", PTRM.
            draw_tokens: draw each token by the decoder's probabilities, in place of the most probable.
            temperature: of drawn tokens, for a model that draws them; the default is 1.
            decode: "ancestral", "greedy" or "beam", for a model that draws one token after the other.
            flow: "ode" or "sde", how a flow goes from noise to an answer; the default is the recipe's.
            precision: of matrix products, "fp32" or "bf16", which is several times faster on most devices.
            select: order of the answers: "majority", "lprm", "first", "halt" or "margin".
            chunk: trajectories at once: bounds the memory.
            seed: seed of the noise.

        Raises:
            UserError: an input or an option is wrong; its number, its line and cell, and what was expected.
        """
        check(0 <= halt_at <= 1, "halt_at", halt_at, "a probability from 0 to 1")
        for name, value, default in (("halt_by", halt_by, "confidence"), ("halt_at", halt_at, 0.95)):
            check(halting or value == default, name, value, "halting=True beside it")
        sampler = SamplerConfig.filled(
            self.recipe.evaluation,
            self.model,
            samples=samples,
            steps=steps,
            halting=halting,
            halt_by=halt_by,
            halt_at=halt_at,
            chunk=chunk,
            seed=seed,
            random_start=random_start,
            latent_noise=latent_noise,
            draw_tokens=draw_tokens,
            temperature=temperature,
            decode=decode,
            flow=flow,
            precision=precision,
        )
        for task, inputs, done in self._groups(puzzles, "solve"):
            yield from in_float32(solve(self.model, task, inputs, sampler, select, first_input=done))

    @typed
    def answer_sets(
        self,
        puzzles: Iterable[Any],
        *,
        answers: int = 20,
        budget: int = 320,
        choose: Choose = "model",
        score: Score = "votes",
        until: float | None = None,
        explore: Explore = "pin",
        at_least: float = 0.0,
        settle: float | None = None,
        most: int | None = None,
        width: int = 16,
        steps: int | None = None,
        halt_by: HaltBy = "confidence",
        halt_at: float = 0.95,
        precision: Precision = "fp32",
        chunk: int = 512,
        seed: int = 0,
    ) -> Iterator[Solved]:
        """Yield a set of distinct answers to each input, for at most `budget` supervision steps over all trajectories.

        Args:
            puzzles: as `solve_many` takes them.
            answers: most answers of an input.
            choose: by the "model" alone, verified only then; or "verified" by the rules as the trajectories go.
            score: what the model ranks its answers by: "votes", "product", "margin" or "lprm".
            until: stop at this estimated share of all answers that the model has to give.
            explore: "pin" one more cell in later trajectories, where the task allows it, or "none".
            at_least: abstain below this score; votes as their share of the trajectories.
            settle: stop when the answer with most votes stays so with this probability, 1 when nothing can change it.
            most: most trajectories of an input; None leaves it to the budget.
            width: trajectories of an input that step together.
            steps: most supervision steps of a trajectory; the default is as many as in training.
            halt_by, halt_at, precision, chunk, seed: see `solve_many`.

        Raises:
            UserError: an input or an option is wrong.
        """
        check(0 <= halt_at <= 1, "halt_at", halt_at, "a probability from 0 to 1")
        rest = {"halt_by": halt_by, "halt_at": halt_at, "precision": precision, "chunk": chunk, "seed": seed}
        sampler = SamplerConfig.filled(self.recipe.evaluation, self.model, None, steps, **rest)
        config = SetConfig(
            answers=answers,
            budget=budget,
            choose=choose,
            score=score,
            until=until,
            explore=explore,
            at_least=at_least,
            settle=settle,
            most=most,
            width=width,
            sampler=sampler,
        )
        for task, inputs, done in self._groups(puzzles, "answer_sets"):
            yield from in_float32(solve_sets(self.model, task, inputs, config, first_input=done))

    def _groups(self, puzzles: Iterable[Any], asked: str) -> Iterator[tuple[Text, list[Puzzle], int]]:
        """The task, inputs that are solved together, and how many came before them."""
        listed = isinstance(puzzles, Iterable) and not isinstance(puzzles, str | bytes | dict)
        check(listed, "puzzles", puzzles, "a list of inputs")
        task, done, source = self.task, 0, iter(puzzles)
        if not isinstance(task, Text):
            raise lacks(task, Text, asked)
        while part := list(islice(source, GROUP)):
            read = [task.read_value(puzzle, f"input {number}") for number, puzzle in enumerate(part, done + 1)]
            yield task, read, done
            done += len(part)

    @typed
    def save_pretrained(
        self, folder: str | Path, evaluations: Sequence[dict[str, Any]] = (), max_mb: float | None = None
    ) -> None:
        """Write config.json, model.safetensors and a card: a new folder, or one that holds a model already.

        Args:
            evaluations: what `gram eval --json` wrote, as values; a new card shows their numbers.
            max_mb: largest size of a file, in MB of a million bytes; the weights go into as many files as it takes.
        """
        folder = Path(folder)
        if folder.is_dir() and (others := hub.foreign(folder)):
            raise UserError(f"{folder}: holds {others[0]}, expected a new folder or one with a model alone")
        kept = None if evaluations else self.card
        card = kept or model_card(self.config, self.model, evaluations)
        weights = {"model": self.model.state_dict()}
        largest = None if max_mb is None else int(max_mb * 1e6)
        checkpoint.save_folder(folder, weights, {"config": self.config}, {hub.CARD: card}, largest)

    def push_to_hub(self, name: str, private: bool = False, evaluations: Sequence[dict[str, Any]] = ()) -> str:
        """Put the model into the repository `owner/name` of the Hugging Face Hub; returns its address."""
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(Path(folder) / "model", evaluations)
            return hub.send(Path(folder) / "model", name, private)


@typed
def load(name: str | Path, device: str = "auto") -> Solver:
    """Load a trained model.

    Args:
        name: a folder (a run or a model), a model of the package such as "nqueens7", or `owner/name` on the Hugging
            Face Hub.
        device: auto, cpu, cuda, cuda:N or mps.

    Raises:
        UserError: there is no such model, or it is damaged or of another kind.
    """
    return Solver.from_pretrained(name, device)
