"""Answers as a set: at most so many distinct ones, for at most so many supervision steps an input.

The searches of many inputs (search.py) share one pool of trajectories. What happens on an input depends on its own
trajectories alone, so that neither the other inputs, nor the chunk, nor the number of processes changes its set.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from gram_reasoning.errors import UserError, check
from gram_reasoning.inference.pool import Pool
from gram_reasoning.inference.search import ENDS, AnswerSet, End, Ended, Pin, Search, chosen
from gram_reasoning.inference.set_config import SetConfig
from gram_reasoning.models.base import Model, RecursiveModel, margin, probability
from gram_reasoning.nn.precision import autocast
from gram_reasoning.processes import ALONE, Processes
from gram_reasoning.tasks.base import Task


@torch.no_grad()
def answer_sets(
    model: Model,
    task: Task,
    inputs: Tensor,
    config: SetConfig,
    first_input: int = 0,
    tick: Callable[[int, int], None] = lambda done, total: None,
    processes: Processes = ALONE,
    identity: Tensor | None = None,
) -> list[AnswerSet]:
    """A set of answers for each input.

    Args:
        inputs: (M, L) integer tokens.
        first_input: number of the first input, which keys its noise.
        tick: called from time to time with the number of inputs done and the number in all.
        processes: share the inputs; each gets all sets.
        identity: the vector of each input's identity (M, D), for a model that learnt some.

    Raises:
        UserError: the model cannot run as asked for; or verified answers of a task without rules.
    """
    device = next(model.parameters()).device
    inputs = inputs.to(device).long()
    sampler = config.sampler
    course = sampler.course(model, inputs, first_input, task.counted, identity)
    refines = isinstance(model, RecursiveModel)
    course.check(sampler.steps, halting=refines)
    if not refines:  # what it says on its way is no answer yet: every trajectory runs to its end
        check(sampler.steps <= config.budget, "budget", config.budget, f"at least {sampler.steps}, one answer's steps")
        whole = config.budget // sampler.steps
        config = replace(config, avoid=False, most=whole if config.most is None else min(whole, config.most))
    own = range(len(inputs))[processes.share(len(inputs))]
    waiting = iter(own)
    places = max(1, sampler.chunk // config.width)
    searches: dict[int, Search] = {}
    finished: dict[int, Search] = {}
    pool = Pool(course, sampler.chunk)

    with autocast(device, sampler.precision):
        while len(finished) < len(own):
            while len(searches) < places and (row := next(waiting, None)) is not None:
                searches[row] = Search(config, inputs[row].tolist(), task.open_token)
            _begin(pool, [(row, *new) for row, search in searches.items() for new in search.start()])
            said: dict[int, list[tuple[int, Ended]]] = {}
            for place, (row, e) in enumerate(_step(pool, task, config, searches)):
                said.setdefault(row, []).append((place, e))
            keep: list[int] = []
            for row, heard in said.items():
                keep += [heard[i][0] for i in searches[row].hear([e for _, e in heard])]
            pool.take(torch.tensor(sorted(keep), dtype=torch.int64, device=device))
            for row in [row for row, search in searches.items() if search.done]:
                finished[row] = searches.pop(row)
            tick(len(finished), len(own))
    found = [(finished[row].ended, finished[row].spent) for row in own]
    found = _gathered(found, inputs.shape[1], len(inputs), processes, device)
    return [AnswerSet(tuple(ended), chosen(ended, config), spent) for ended, spent in found]


def _begin(pool: Pool, fresh: Sequence[tuple[int, int, Pin | None]]) -> None:
    """Start trajectories: input, number and pin of each."""
    if not fresh:
        return
    device = pool.row.device
    rows = torch.tensor([row for row, _, _ in fresh], device=device)
    numbers = torch.tensor([number for _, number, _ in fresh], device=device)
    tokens = pool.course.inputs[rows]
    for i, (_, _, pin) in enumerate(fresh):
        if pin is not None:
            tokens[i, pin[0]] = pin[1]
    pool.add(rows, numbers, tokens)


def _step(pool: Pool, task: Task, config: SetConfig, searches: dict[int, Search]) -> list[tuple[int, Ended]]:
    """One step of every trajectory: its input, and what it says, `why` "budget" where it would go on."""
    course, most = pool.course, config.sampler.steps
    answer = pool.step()
    inputs = course.inputs[pool.row]
    tokens = task.canonical(answer.tokens, inputs)
    right = task.reward(tokens, inputs) if config.choose == "verified" else None
    if config.choose == "verified" and right is None:
        raise UserError(f"--choose verified: {task.name} is a task without rules, expected one that verifies answers")
    refines = isinstance(course.model, RecursiveModel)
    sure = course.sureness(answer) if refines else torch.zeros_like(answer.value)
    ends = (sure > course.halt_at) if refines else pool.steps >= most
    if right is not None:
        ends = ends | (right == 1)
    numbers = torch.stack([pool.row, pool.number, pool.steps], 1).tolist()
    logits = answer.logits
    if logits is not None and config.explore == "pin" and task.open_token is not None:
        whole = (pool.steps == 1) & (pool.tokens == inputs).all(1)
        for i, probabilities in zip(
            whole.nonzero()[:, 0].tolist(), logits[whole].float().softmax(-1).cpu(), strict=True
        ):
            searches[numbers[i][0]].saw(probabilities)
    if logits is None:
        confidence = gap = answer.value
    else:
        logits = logits[:, course.counted or slice(None)].float()
        confidence, gap = probability(logits), margin(logits)
    scores = torch.stack([confidence.float(), gap.float(), answer.value.float()], 1).tolist()
    judged = [None] * len(numbers) if right is None else (right == 1).tolist()
    found = []
    for (row, number, steps), said, values, end, ok in zip(
        numbers, tokens.tolist(), scores, ends.tolist(), judged, strict=True
    ):
        why: End = "sure" if end else "steps" if steps >= most else "budget"
        sureness, gap, value = values
        found.append((row, Ended(tuple(said), number, steps, 0, why, sureness, gap, value, ok)))
    return found


def _gathered(
    found: list[tuple[list[Ended], int]], length: int, total: int, processes: Processes, device: torch.device
) -> list[tuple[list[Ended], int]]:
    """What each process found of its share of the inputs, on every process, in order."""
    if processes.count == 1:
        return found
    width = processes.largest(max((len(ended) for ended, _ in found), default=0))
    tokens = torch.zeros(len(found), width, length, dtype=torch.int64, device=device)
    numbers = torch.zeros(len(found), width, 8, dtype=torch.float64, device=device)
    for i, (ended, _) in enumerate(found):
        for j, e in enumerate(ended):
            right = math.nan if e.right is None else float(e.right)
            tokens[i, j] = torch.tensor(e.answer)
            values = [e.number, e.steps, e.at, ENDS.index(e.why), e.confidence, e.margin, e.value, right]
            numbers[i, j] = torch.tensor(values, dtype=torch.float64)
    sizes = torch.tensor([[len(ended), spent] for ended, spent in found], dtype=torch.int64, device=device).view(-1, 2)
    tokens, numbers, sizes = (processes.gather(t, total) for t in (tokens, numbers, sizes))
    everyone = []
    for said, values, (size, spent) in zip(tokens.tolist(), numbers.tolist(), sizes.tolist(), strict=True):
        ended = []
        for answer, (number, steps, at, why, confidence, gap, value, right) in zip(said[:size], values, strict=False):
            ok = None if math.isnan(right) else bool(right)
            whole = (int(number), int(steps), int(at), ENDS[int(why)])
            ended.append(Ended(tuple(answer), *whole, confidence, gap, value, ok))
        everyone.append((ended, spent))
    return everyone
