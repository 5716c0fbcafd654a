"""What is done to a recipe, whichever it is."""

from dataclasses import replace
from typing import Any

from gram_reasoning.config import EvalConfig, Recipe
from gram_reasoning.models.configs import GramConfig


def small_portions(nats: float, first: float | None = None, steps: int = 12) -> dict[str, Any]:
    """Settings of a model that tells y in small portions: one transition a step, a few nats in each.

    For tasks in which nearly every input has many solutions. Together a multiple of ln n: many small Gaussian steps
    follow a distribution of many peaks that one large step cannot (docs/log.md).

    Args:
        nats: the budget of a transition.
        first: that of the first, if another.
        steps: N_sup, supervision steps of a training trajectory.
    """
    return {
        "transitions": 1,
        "supervision_steps": steps,
        "kl_budget_first": nats if first is None else first,
        "kl_budget_open": 0.0,
        "kl_budget": nats,
    }


def rolled_out(recipe: Recipe, steps: int, wishes: bool = False, **model: Any) -> Recipe:
    """Every slot rolls out as it will be judged, by noise of a fixed small size, and learns what lies nearest to it.

    No posterior, so nothing to leak, and no budget to find: a state is pushed about by N(0, 0.2^2) at every step and
    learns to end in the solution that it is nearest to anyway. With the units of the board as mixer, a block that
    starts near the identity, one transition a step and more steps, it learns many times faster (docs/log.md).
    It departs from the paper: no transition looks at the target, and the noise is not learnt.

    Args:
        wishes: let each trajectory wish for tokens, see its wishes, and learn the solution that they favour: where an
            input has several solutions the draws are then nearly even.
        model: further settings of the model.
    """
    settings: dict[str, Any] = {
        "hidden_size": 64,
        "num_heads": 2,
        "mlp_size": 64,
        "mixer_size": 64,
        "low_steps": 4,
        "transitions": 1,
        "supervision_steps": 12,
        "token_mixer": "units",
        "positions": "rope",
        "prefix_tokens": 1,
        "block_start": 0.1,
        "guidance": "noise",
        "sigma_start": 0.2,
        "wishes": wishes,
        **model,
    }
    train = replace(
        recipe.train,
        batch_size=48,
        steps=steps,
        examples="inputs",
        prior_share=1.0,
        prior_target="wished" if wishes else "nearest",
        lr=1.5e-3,
        warmup_steps=100,
        lr_schedule="cosine",
        weight_decay=0.1,
        ema=0.998,
        eval_every=500,
        eval_inputs=120,
        eval_samples=4,
    )
    # Without wishes louder than it was trained, and longer: samples stay right and differ more (docs/log.md).
    evaluation = EvalConfig(steps=24, latent_noise=0.0 if wishes else 0.5)
    return replace(recipe, model=GramConfig(**settings), train=train, evaluation=evaluation)


def twin(recipe: Recipe) -> Recipe:
    """The deterministic twin: the same network without noise, one answer for each input."""
    return replace(
        recipe,
        name=f"{recipe.name}-twin",
        summary=f"The deterministic twin of {recipe.name}: no noise, no posterior.",
        model=replace(recipe.model, guidance="none", wishes=False),
        train=replace(recipe.train, prior_target="nearest") if recipe.train.prior_target == "wished" else recipe.train,
    )
