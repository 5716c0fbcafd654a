"""The table of identities: what a step moves, what files hold, and that several parts or processes are one."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from gram_reasoning.build import load_model
from gram_reasoning.cli import main
from gram_reasoning.errors import UserError
from gram_reasoning.evaluation.evaluator import evaluate, identity_vectors
from gram_reasoning.inference.sampler import SamplerConfig, sample
from gram_reasoning.models.gram import Gram
from gram_reasoning.nn import identity
from gram_reasoning.nn.identity import IdentityTable
from gram_reasoning.storage import checkpoint
from gram_reasoning.tasks.arc import Arc
from gram_reasoning.tasks.demonstrations import augmented, owners_of
from gram_reasoning.training.trainer import Trainer
from gram_reasoning.types import Shape
from helpers import after_step, debug_recipe, make_trainer, metrics_of, same, tiny_config, weights_of
from oracles import arc as oracle

NAME = "arc-pocket-debug"


def trainer(run: Path, **train: Any) -> Trainer:
    changes = {"prior_share": 0.5, "halt_target": "equal", **train}
    return make_trainer(debug_recipe(NAME, train=changes), run)


def table(run: Trainer) -> Tensor:
    assert run.model.identities is not None
    return run.model.identities.vectors.clone()


@pytest.mark.parametrize("numbers", [[3, 0, 3, 3, 5], [1], [2, 2]])
def test_each_row_moves_once_by_the_sign_of_its_summed_gradient(numbers: list[int]):
    rows = IdentityTable(6, 4)
    draw = torch.Generator().manual_seed(0)
    rows.vectors.copy_(torch.randn(6, 4, generator=draw))
    before = rows.vectors.tolist()
    gradient = torch.randn(len(numbers), 4, generator=draw)
    gradient[0, 0] = 0.0
    rows.learn(torch.tensor(numbers), gradient, lr=0.1, decay=0.5)
    for row in range(6):
        for d in range(4):
            total = sum(float(gradient[i, d]) for i, number in enumerate(numbers) if number == row)
            sign = (total > 0) - (total < 0)
            moved = before[row][d] * (1 - 0.1 * 0.5) - 0.1 * sign if row in numbers else before[row][d]
            assert float(rows.vectors[row, d]) == pytest.approx(moved, abs=1e-6)


def test_a_step_moves_the_rows_of_its_batch_against_the_gradient_of_the_loss(tmp_path: Path):
    """The same step with the table as a dense parameter gives the same gradient, and only there rows move."""
    run = trainer(tmp_path, prior_share=0.0, identity_decay=0.0, warmup_steps=0, lr_schedule="constant")
    for _ in range(3):
        run.train_step()
    assert run.model.identities is not None
    run.slots.refill(run.step)
    rows = slice(0, 8)
    numbers = run.slots.identity(rows, run.step)
    assert numbers is not None
    batch, carry, referee = run.slots.part(rows, run.step)
    dense = table(run).requires_grad_()
    batch.__dict__["identity"] = dense[numbers]
    out = run._forward(batch, carry, run.slots.keys("noise", run.step), referee)
    total = sum(weight * out.losses[name].mean() for name, weight in run.weights.items())
    (expected,) = torch.autograd.grad(total, [dense])  # type: ignore[list-item]
    assert set(expected.abs().sum(1).nonzero()[:, 0].tolist()) == set(numbers.tolist())
    before = table(run)
    run.train_step()
    torch.testing.assert_close(table(run) - before, -run.config.identity_lr * expected.sign())


def test_parts_of_a_batch_are_one(tmp_path: Path):
    runs = [trainer(tmp_path, accumulation=parts) for parts in (1, 4)]
    for run in runs:
        for _ in range(4):
            run.train_step()
    whole, parts = map(table, runs)
    assert (whole - parts).abs().gt(1e-6).float().mean() < 0.02, "a gradient near zero may change its sign"
    assert whole.abs().sum(1).gt(0).sum() > 3


def test_slots_see_their_owner_in_the_augmentation_of_their_identity(tmp_path: Path):
    run = trainer(tmp_path)
    seen: set[int] = set()
    for step in range(12):
        run.slots.refill(step)
        batch, carry, referee = run.slots.part(slice(0, 8), step)
        numbers = run.slots.identity(slice(0, 8), step)
        assert numbers is not None
        turns, colors = run.task.symmetry(numbers)  # type: ignore[attr-defined]
        for i in range(8):
            example = int(run.slots.example[i])
            grid = oracle.read(run.slots.problems.inputs[example].tolist())
            moved = oracle.turn(oracle.recolor(grid, colors[i].tolist()), int(turns[i]))
            places = [(down, right) for down in range(11 - len(moved)) for right in range(11 - len(moved[0]))]
            assert batch.inputs[i].tolist() in [oracle.write(moved, 10, *place) for place in places]
            assert run.slots.problems.identity is not None
            assert int(numbers[i]) // 4 == int(run.slots.problems.identity[example]) // 4
        seen |= set(numbers.tolist())
        draws = torch.zeros(8, *run.model.noise_shape())
        run.slots.store([run.model(batch, carry, draws, referee)])
    assert len(seen) > 10


def test_identities_tell_inputs_apart():
    torch.manual_seed(0)
    model = Gram(tiny_config(), Shape(length=9, vocab=3, identities=4))
    assert model.identities is not None
    without = Gram(tiny_config(), Shape(length=9, vocab=3))
    assert len(list(model.parameters())) == len(list(without.parameters())), "it is no parameter"
    inputs = torch.ones(2, 9, dtype=torch.int64)
    plain = model.encode(inputs, model.identities(torch.tensor([0, 3])))
    assert plain.shape == (2, 12, 16)
    model.identities.vectors[3] += 1
    changed = model.encode(inputs, model.identities(torch.tensor([0, 3])))
    assert (changed != plain).nonzero()[:, :2].unique(dim=0).tolist() == [[1, 0]], "in one prefix token of one row"


def test_a_run_resumed_is_the_undisturbed_run(tmp_path: Path):
    whole = trainer(tmp_path / "whole", checkpoint_every=2)
    assert whole.fit() == "finished"
    first = trainer(tmp_path / "parts", checkpoint_every=2)
    after_step(first, 3, lambda: setattr(first, "stop_signal", signal.SIGTERM))
    assert first.fit() == "stopped"
    second = trainer(tmp_path / "parts", checkpoint_every=2)
    assert second.fit(resume=True) == "finished"
    assert same(weights_of(whole.model), weights_of(second.model))
    assert table(whole).abs().sum() > 0
    assert metrics_of(tmp_path / "whole") == metrics_of(tmp_path / "parts")
    _, _, loaded = load_model(tmp_path / "whole")
    assert loaded.identities is not None
    assert torch.equal(loaded.identities.vectors, table(whole)), "the table is not averaged"


def test_a_table_goes_into_several_files_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(identity, "BLOCK", 3)
    monkeypatch.setattr(checkpoint, "LARGEST", checkpoint.HEADER + 150_000)
    run = trainer(tmp_path / "run", checkpoint_every=3)
    run.fit()
    [*_, folder] = checkpoint.checkpoints(tmp_path / "run")
    for place in (folder, tmp_path / "run/model"):
        assert len(list(place.glob("model-*-of-*.safetensors"))) > 1
        assert (place / "model.safetensors.index.json").is_file()
    names = [n for file in folder.glob("model-*") for n in safetensors.torch.load_file(file)]
    assert sorted(n for n in names if n.startswith("identities.")) == [f"identities.{i:05}" for i in range(7)]
    _, _, loaded = load_model(tmp_path / "run")
    assert loaded.identities is not None
    assert torch.equal(loaded.identities.vectors, table(run))
    again = trainer(tmp_path / "run", checkpoint_every=3)
    again.fit(resume=True)
    assert torch.equal(table(again), table(run))
    [*_, damaged] = sorted(folder.glob("model-*"))
    damaged.unlink()
    with pytest.raises(UserError, match="no such file"):
        trainer(tmp_path / "run", checkpoint_every=3).fit(resume=True)


def test_owners_are_part_of_a_run(tmp_path: Path):
    run = trainer(tmp_path / "run")
    run.fit()
    config = tmp_path / "run/model/config.json"
    value = json.loads(config.read_text())
    assert value["owners"] == list(owners_of(run.task))
    for owners, message in (
        ("all", "expected a list of names"),
        ([], "a model without the names of its tasks"),
        (["training/x"] * 100_000, r"identities.00000. is .*, expected"),
    ):
        config.write_text(json.dumps({**value, "owners": owners}))
        with pytest.raises(UserError, match=message):
            load_model(tmp_path / "run")
    [*_, folder] = checkpoint.checkpoints(tmp_path / "run")
    progress = json.loads((folder / "progress.json").read_text())
    (folder / "progress.json").write_text(json.dumps({**progress, "owners": progress["owners"][:4]}))
    with pytest.raises(UserError, match="the run has 4 owners of inputs, the data now have 5"):
        trainer(tmp_path / "run").fit(resume=True)


def test_votes_are_counted_over_augmentations(tmp_path: Path):
    """Evaluation by hand: every augmentation sampled alone, undone, then the two best of all votes."""
    run = trainer(tmp_path)
    for _ in range(4):
        run.train_step()
    problems, config = run.task.split("test"), SamplerConfig(samples=2, steps=2)
    submitted: list[Tensor] = []
    result = evaluate(run.model, run.task, problems, config, views=4, submit=submitted.append)
    assert (result["inputs"], result["samples"]) == (5, 8)
    seen = augmented(run.task, problems, 4)
    vectors = identity_vectors(run.model, seen)
    assert vectors is not None
    answers = sample(run.model, seen.inputs, config, identity=vectors).answers
    votes: list[dict[str, int]] = [{} for _ in range(5)]
    for row, own in enumerate(answers.tolist()):
        turn, colors = run.task.symmetry(torch.tensor([int(seen.identity[row])]))  # type: ignore[attr-defined, index]
        back = {new: old for old, new in enumerate(colors[0].tolist())}
        for answer in own:
            grid = oracle.read(answer)
            undone = oracle.turn(
                oracle.recolor(grid, [back[c] for c in range(10)]), {5: 6, 6: 5}.get(int(turn), int(turn))
            )
            key = str(undone if grid else [])
            votes[row // 4][key] = votes[row // 4].get(key, 0) + 1
    assert isinstance(run.task, Arc)
    submission = run.task.submission(problems, submitted[0])
    assert not oracle.submission_faults(submission, {owner.split("/")[1]: 1 for owner in run.task.owners})
    for own, entries in zip(votes, submission.values(), strict=True):
        attempt = str(entries[0]["attempt_1"])
        best = max((count for key, count in own.items() if key != "[]"), default=0)
        assert own.get(attempt, 0) == best or attempt == "[[0]]"
    for k in (1, 2):
        riddles = run.task.riddles("training")
        solutions = {r.name: [output for _, output in r.tests if output is not None] for r in riddles}
        assert result["pass"][f"pass@{k}"] == pytest.approx(oracle.score(submission, solutions, k))


def test_gram_eval_writes_a_submission(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    trainer(tmp_path / "run").fit()
    arguments = ["eval", str(tmp_path / "run"), "--split", "train", "--device", "cpu", "--submission"]
    assert main([*arguments, str(tmp_path / "submission.json")]) == 0
    assert "pass@2" in capsys.readouterr().out
    submission = json.loads((tmp_path / "submission.json").read_text())
    names = ["crop", "exchange", "fall", "fill", "mirror"]
    assert not oracle.submission_faults(submission, dict.fromkeys(names, 3))
    assert main([*arguments, str(tmp_path / "submission.json"), "--limit", "3"]) == 2
    assert main(["eval", str(tmp_path / "run"), "--views", "9"]) == 2
    assert "views: got 9, expected 1 to 4" in capsys.readouterr().err
