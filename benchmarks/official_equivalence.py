"""TRM and HRM beside their released code: its weights in our models, two supervision steps, in float64.

    python benchmarks/official_equivalence.py results/official_equivalence.json --trm CLONE --hrm CLONE

CLONE is a checkout of SamsungSAILMontreal/TinyRecursiveModels and of sapientinc/HRM (without one of them, that one is
left out). Their code wants einops and pydantic; where it calls flash-attn, an attention written out stands in, and
where it casts to float32, float64 does. Logits, both Q-values, every loss and every gradient are compared.
"""

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from gram_reasoning.models.configs import HrmConfig, TrmConfig
from gram_reasoning.models.hrm import TwoTimescales
from gram_reasoning.models.trm import TinyRecursion
from gram_reasoning.models.two_latents import TwoLatents
from gram_reasoning.types import IGNORE, Batch, Shape

B, L, V, D, HEADS, PREFIX, STEPS = 6, 9, 5, 32, 4, 16, 2
INNER = 256
"""Hidden width of their SwiGLUs, whose sizes are multiples of 256."""
TOLERANCE = 1e-5


class Equals:
    """The released code's rule: right is what equals the target."""

    def __init__(self, targets: Tensor) -> None:
        self.wanted = targets

    def targets(self, logits: Tensor) -> Tensor:
        return self.wanted

    def reward(self, prediction: Tensor) -> Tensor:
        return ((prediction == self.wanted) | (self.wanted == IGNORE)).all(1).double()

    def ends(self, sure: Tensor) -> Tensor:
        return sure


def attention(q: Tensor, k: Tensor, v: Tensor, causal: bool = False) -> Tensor:
    """What flash-attn computes, on (B, S, H, E)."""
    assert not causal
    scores = torch.einsum("bshe,bthe->bhst", q, k) / q.shape[-1] ** 0.5
    return torch.einsum("bhst,bthe->bshe", scores.softmax(-1), v).contiguous()


def official(clone: Path, names: list[str], scratch: Path) -> list[ModuleType]:
    """Modules of a clone, with float64 for float32."""
    for path in (clone / "models").rglob("*.py"):
        copy = scratch / path.relative_to(clone)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(path.read_text().replace("torch.float32", "torch.float64"))
    for name in [name for name in sys.modules if name.split(".")[0] == "models"]:
        del sys.modules[name]
    flash = ModuleType("flash_attn_interface")
    flash.flash_attn_func = attention  # type: ignore[attr-defined]
    sys.modules["flash_attn_interface"] = flash
    sys.path.insert(0, str(scratch))
    try:
        return [importlib.import_module(name) for name in names]
    finally:
        sys.path.remove(str(scratch))


def weights(theirs: torch.nn.Module, blocks: Callable[[str], str], mixed: bool) -> dict[str, Tensor]:
    """Their weights under our names.

    Args:
        blocks: our name of their module of layers, such as `L_level`.
        mixed: their layers have a SwiGLU over the sequence in place of attention.
    """
    inner: Any = theirs.inner  # type: ignore[attr-defined]
    found = {
        "token_embedding": inner.embed_tokens.embedding_weight,
        "decoder.weight": inner.lm_head.weight,
        "halt_head.weight": inner.q_head.weight,
        "halt_head.bias": inner.q_head.bias,
        "initial_latent": torch.stack([inner.H_init, inner.L_init])[:, None],
    }
    puzzle = inner.puzzle_emb.weights[0].view(-1, D)  # stands first, and zeros pad the rest
    found["prefix"] = torch.cat([puzzle, torch.zeros(PREFIX - len(puzzle), D)])
    parts = {"mlp.gate_up_proj": "mlp.gate_value", "mlp.down_proj": "mlp.out"}
    if mixed:
        parts |= {"mlp_t.gate_up_proj": "mixer.mlp.gate_value", "mlp_t.down_proj": "mixer.mlp.out"}
    else:
        parts |= {"self_attn.qkv_proj": "mixer.qkv", "self_attn.o_proj": "mixer.out"}
    for name, parameter in inner.named_parameters():
        level, _, rest = name.partition(".layers.")
        if rest:
            number, _, part = rest.removesuffix(".weight").partition(".")
            found[f"{blocks(level)}.blocks.{number}.{parts[part]}.weight"] = parameter
    return found


def compare(theirs: Any, ours: TwoLatents, names: Callable[[str], str], mixed: bool) -> dict[str, float]:
    """The largest differences over the supervision steps.

    Args:
        theirs: their loss head around their model.
    """
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        theirs.model.inner.puzzle_emb.weights.normal_(generator=draw)
        for head in (theirs.model.inner.q_head.weight, theirs.model.inner.q_head.bias):
            head.normal_(std=0.3, generator=draw)
    mapped = weights(theirs.model, names, mixed)
    missing, unexpected = ours.load_state_dict(mapped, strict=False)
    assert not missing, missing
    assert not unexpected, unexpected
    if ours.rotary is not None:  # ours is made in float32, and theirs is float64 here
        rotary = theirs.model.inner.rotary_emb
        half = rotary.cos_cached.shape[1] // 2
        ours.rotary = torch.stack([rotary.cos_cached[:, :half], rotary.sin_cached[:, :half]])

    inputs = torch.randint(1, V, (B, L), generator=draw)
    labels = torch.randint(1, V, (B, L), generator=draw)
    labels[0, :3] = IGNORE
    ours_carry: Any = ours.initial_carry(B)
    identifiers = torch.zeros(B, dtype=torch.int32)
    # A row whose labels are what the first step says, so that some answer is right.
    with torch.no_grad():
        labels[1] = ours.decode(ours.recursion(ours_carry, ours.encode(inputs)))[1].argmax(-1)
    given = {"inputs": inputs, "labels": labels, "puzzle_identifiers": identifiers}
    theirs.train()
    carry = theirs.initial_carry(given)
    worst: dict[str, float] = {}

    def note(what: str, left: Tensor, right: Tensor) -> None:
        assert left.dtype == right.dtype == torch.float64, (what, left.dtype, right.dtype)
        worst[what] = max(worst.get(what, 0.0), float((left.detach() - right.detach()).abs().max()))

    for n in range(STEPS):
        if n:  # nobody leaves in between: both carry the state on
            carry.halted = torch.zeros_like(carry.halted)
        theirs.zero_grad()
        ours.zero_grad()
        keys = ["logits", "q_halt_logits", "q_continue_logits"]
        carry, total, metrics, out, _ = theirs(keys, carry=carry, batch=given)
        total.backward()
        flags, steps = torch.zeros(B, dtype=torch.bool), torch.full((B,), n)
        batch = Batch(inputs, labels, flags, flags, steps)
        step = ours(batch, ours_carry, torch.zeros(B, 0), Equals(labels))
        ours_carry, factors = step.carry, ours.loss_weights(0, 1)
        ours_total = torch.stack([factors[name] * values.sum() for name, values in step.losses.items()]).sum()
        ours_total.backward()
        note("logits", ours.decode(ours_carry), out["logits"])
        q = ours.q_values(ours_carry)
        note("q_halt", q[:, 0], out["q_halt_logits"])
        note("q_continue", q[:, 1], out["q_continue_logits"])
        note("answer loss", step.losses["cross_entropy"].sum(), metrics["lm_loss"])
        note("halt loss", step.losses["halt"].sum(), metrics["q_halt_loss"])
        if "continue" in step.losses:
            note("continue loss", step.losses["continue"].sum(), metrics["q_continue_loss"])
        note("loss", ours_total, total)
        note("h", ours_carry.high, carry.inner_carry.z_H)
        note("l", ours_carry.low, carry.inner_carry.z_L)
        parameters = dict(ours.named_parameters())
        for name, theirs_parameter in mapped.items():
            if isinstance(theirs_parameter, torch.nn.Parameter):
                gradient = parameters[name].grad
                assert gradient is not None, name
                assert theirs_parameter.grad is not None, name
                note("gradients", gradient, theirs_parameter.grad)
    return worst


SIZES: dict[str, Any] = {
    "hidden_size": D,
    "num_heads": HEADS,
    "mlp_size": INNER,
    "mixer_size": INNER,
    "prefix_tokens": PREFIX,
    "cross_entropy": "stablemax",
}
"""Of our configs."""


def their_config(**changes: Any) -> dict[str, Any]:
    sizes = {"batch_size": B, "seq_len": L, "vocab_size": V, "hidden_size": D, "num_heads": HEADS, "expansion": 4}
    rest = {"puzzle_emb_ndim": D, "num_puzzle_identifiers": 1, "pos_encodings": "rope", "forward_dtype": "float64"}
    return sizes | rest | {"halt_max_steps": STEPS, "halt_exploration_prob": 0.0} | changes


def trm(clone: Path, mixed: bool, scratch: Path) -> dict[str, float]:
    """TRM with attention, or with its SwiGLU over the sequence."""
    module, losses = official(clone, ["models.recursive_reasoning.trm", "models.losses"], scratch)
    config = their_config(H_cycles=3, L_cycles=4, H_layers=0, L_layers=2, mlp_t=mixed, puzzle_emb_len=PREFIX)
    theirs = losses.ACTLossHead(module.TinyRecursiveReasoningModel_ACTV1(config), "stablemax_cross_entropy")
    sizes = TrmConfig(
        **SIZES,
        token_mixer="mlp-released" if mixed else "attention",
        low_steps=4,
        supervision_steps=STEPS,
    )
    return compare(theirs, TinyRecursion(sizes, Shape(length=L, vocab=V)), lambda level: "net", mixed)


def hrm(clone: Path, mixed: bool, scratch: Path) -> dict[str, float]:
    """HRM, whose prefix has as many tokens as its puzzle vector fills."""
    module, losses = official(clone, ["models.hrm.hrm_act_v1", "models.losses"], scratch)
    config = their_config(H_cycles=2, L_cycles=3, H_layers=2, L_layers=2, puzzle_emb_ndim=PREFIX * D)
    theirs = losses.ACTLossHead(module.HierarchicalReasoningModel_ACTV1(config), "stablemax_cross_entropy")
    shape = Shape(length=L, vocab=V)
    sizes = HrmConfig(**SIZES, num_layers=2, low_steps=3, supervision_steps=STEPS)
    levels = {"L_level": "low_network", "H_level": "high_network"}
    return compare(theirs, TwoTimescales(sizes, shape), lambda level: levels[level], mixed)


def commit(clone: Path) -> str:
    """Of a checkout; unknown for files alone."""
    found = subprocess.run(["git", "-C", str(clone), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--trm", type=Path, help="a checkout of TinyRecursiveModels")
    parser.add_argument("--hrm", type=Path, help="a checkout of HRM")
    options = parser.parse_args()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    Tensor.float = Tensor.double  # what our models cast to float32, for autocast's sake
    cases: dict[str, tuple[Path | None, Callable[[Path, bool, Path], dict[str, float]], bool]] = {
        "trm, attention": (options.trm, trm, False),
        "trm, mlp": (options.trm, trm, True),
        "hrm": (options.hrm, hrm, False),
    }
    found: dict[str, Any] = {}
    for name, (clone, run, variant) in cases.items():
        if clone is not None:
            with tempfile.TemporaryDirectory() as scratch:
                found[name] = {"commit": commit(clone), "largest_difference": run(clone, variant, Path(scratch))}
            print(name, found[name]["largest_difference"])
    sizes = {"rows": B, "tokens": L, "width": D, "steps": STEPS, "dtype": "float64", "tolerance": TOLERANCE}
    options.out.write_text(json.dumps({**sizes, "cases": found}, indent=1) + "\n")
    worst = max((value for case in found.values() for value in case["largest_difference"].values()), default=0.0)
    sys.exit(0 if worst <= TOLERANCE else f"the largest difference is {worst}, expected at most {TOLERANCE}")


if __name__ == "__main__":
    main()
