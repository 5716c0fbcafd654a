"""Digits from nothing: how near do they come to real ones, and do more steps help?

Question: the paper's IS and FID on binarised MNIST, over 8 to 256 steps.

Protocol: 14x14 digits, half the paper's side, from the IDX files in `data/mnist` (GRAM_DATA_DIR names `data`); equal
CPU time. IS and FID by a small classifier of our own, trained once before, on 5,000 images: they stand beside no number
by Inception, the paper's among them. No screen of learning rates: no number on validation means the same for all
systems, so each keeps its recipe's.

Budget: 15 core-minutes a run, one seed. What does not fit: 28x28.
"""

from gram_reasoning.studies.definition import Column, Judgement, Run, Study

BY = ("--classifier", "{runs}/classifier", "--count", "5000")
STEPS = (8, 16, 24, 64, 256)
GRID = {"model.token_mixer": "grid", "model.layout": "patches", "model.patch_channels": 16, "model.prefix_tokens": 4}
SOURCE = {"task.size": 14, "task.source": "{data}/mnist"}

STUDY = Study(
    name="digits",
    words=str(__doc__),
    recipe="mnist-pocket",
    changes={
        **SOURCE,
        "train.batch_size": 96,
        "train.precision": "bf16",
        "train.ema": 0.995,
        "train.prior_share": 0.0,
        "train.eval_inputs": 1,
        "train.eval_samples": 64,
    },
    core_minutes=15,
    runs=(
        Run(system="GRAM", recipe="mnist-pocket", keep=True),
        Run(
            system="TRM",
            recipe="nqueens7-trm-pocket",
            samples=1,
            changes={**GRID, "model.mlp_size": 464, "train.prior_share": 1.0, "train.eval_samples": 1},
        ),
        Run(system="D3PM", recipe="mnist-d3pm-pocket", exempt=True),
        Run(system="VAE", recipe="mnist-vae-pocket", exempt=True),
    ),
    setup=(("classifier", "--out", "{runs}/classifier", "--task.size", "14", "--task.source", "{data}/mnist"),),
    judgements=(
        *(
            Judgement(name=f"steps{n}", command="fid", options=(*BY, "--steps", str(n)), systems=("GRAM",))
            for n in STEPS
        ),
        Judgement(name="fid", command="fid", options=BY),
    ),
    rates=(),
    columns=(
        Column("IS, own classifier", "fid.sets.model.inception_score", percent=False),
        Column("FID, own classifier", "fid.sets.model.frechet_distance", percent=False),
        *(Column(f"FID, {n} steps", f"steps{n}.sets.model.frechet_distance", percent=False) for n in STEPS),
    ),
    curve="fid",
)
