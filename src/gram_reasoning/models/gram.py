"""GRAM: Generative Recursive Reasoning (arXiv 2605.19376), sections 2 and 3, in the order of its equations.

    e_x = embedding(x)                                the input, injected at every low-level step
    l   <- f_L(l, h + e_x), K times                   low-level steps
    u   = f_H(h, l)                                   proposal
    eps ~ N(mu(u), sigma(u)^2)   or   q(eps | u, y)   prior, or posterior that has seen the target
    h   = u + eps                                     the transition is a sample
    logits, halt, value = heads(h)                    after T transitions; N_sup such steps make a trajectory

Training maximises an evidence bound by one supervision step at a time: the gradient flows through the last of its T
transitions, everything before is detached, and the KL of the charged transitions is paid to the prior.
docs/architecture.md has the table paper symbol -> name; docs/deviations.md says where we differ.

Shape letters: B rows, L output tokens, P prefix tokens, S = P + L (images: P + L / 4), D channels, V vocabulary,
T transitions.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gram_reasoning.config import GramConfig
from gram_reasoning.errors import check
from gram_reasoning.models.base import RecursiveModel
from gram_reasoning.nn.distributions import DiagonalGaussian, balanced_kl
from gram_reasoning.nn.identity import IdentityTable
from gram_reasoning.nn.layers import (
    Attention,
    Block,
    GridMixer,
    Linear,
    SequenceMLP,
    SwiGLU,
    rotary_table,
    truncated_normal_,
)
from gram_reasoning.nn.layouts import PatchLayout, SymbolLayout, TokenLayout
from gram_reasoning.nn.units import UnitsMixer
from gram_reasoning.types import IGNORE, Batch, Kind, LatentState, Referee, SlotState, StepOutput


class Network(nn.Module):
    """f_L or f_H: a stack of post-norm blocks over the sum of its inputs, (B, S, D) -> (B, S, D)."""

    def __init__(self, config: GramConfig, positions: int, units: Sequence[Kind] = (), length: int = 0) -> None:
        super().__init__()
        D, P = config.hidden_size, config.prefix_tokens
        self.blocks = nn.ModuleList()
        for _ in range(config.num_layers):
            if config.token_mixer == "attention":
                mixer: nn.Module = Attention(D, config.num_heads, config.qk_norm)
            elif config.token_mixer == "grid":
                mixer = GridMixer(D, P, positions - P)
            elif config.token_mixer == "units":
                mixer = UnitsMixer(D, config.mixer_size, P, length, units, (positions - P) // length)
            else:
                mixer = SequenceMLP(positions, config.mixer_size)
            self.blocks.append(Block(mixer, D, config.mlp_size, config.block_start))

    def forward(self, x: Tensor, rotary: Tensor | None) -> Tensor:
        for block in self.blocks:
            x = block(x, rotary)
        return x


class GaussianHead(nn.Module):
    """mu and sigma, SwiGLU MLPs of one input; zero output weights start it at N(0, sigma_start^2).

    mu is bounded: u has unit scale and sigma is of its order, so a mean that grows without bound would drown the noise.
    The ablations keep one of them: guidance "noise" is N(0, sigma^2), "mean" is mu alone.
    """

    def __init__(self, config: GramConfig, size_in: int) -> None:
        super().__init__()
        D = config.hidden_size
        self.config = config
        self.mu = SwiGLU(size_in, config.mlp_size, D) if config.guidance != "noise" else None
        self.sigma = SwiGLU(size_in, config.mlp_size, D) if config.sigma_learned and config.guidance != "mean" else None
        for mlp in (self.mu, self.sigma):
            if mlp is not None:
                nn.init.zeros_(mlp.out.weight)
        self.sigma_offset = math.log(math.expm1(config.sigma_start - config.sigma_min))

    def forward(self, x: Tensor) -> DiagonalGaussian:
        c = self.config
        if self.mu is None:
            mean = torch.zeros(*x.shape[:-1], c.hidden_size, device=x.device)
        else:
            mean = self.mu(x).float()
        if c.mean_bound == 1:
            mean = mean.tanh()
        elif c.mean_bound is not None:
            mean = c.mean_bound * (mean / c.mean_bound).tanh()
        if self.sigma is None:
            return DiagonalGaussian(mean, mean.new_full((), 0.0 if c.guidance == "mean" else c.sigma_start))
        std = F.softplus(self.sigma(x).float() + self.sigma_offset) + c.sigma_min
        return DiagonalGaussian(mean, std.clamp(max=c.sigma_max))


class HierarchicalCore(nn.Module):
    """Two latents, two networks: l is refined K times under a fixed h, then h is proposed anew."""

    def __init__(self, config: GramConfig, *shape: Any) -> None:
        super().__init__()
        self.low_steps = config.low_steps  # K
        self.low_network = Network(config, *shape)  # f_L
        self.high_network = Network(config, *shape)  # f_H

    def forward(self, high: Tensor, low: Tensor, context: Tensor, rotary: Tensor | None) -> tuple[Tensor, Tensor]:
        injected = high + context
        for _ in range(self.low_steps):
            low = self.low_network(low + injected, rotary)
        return self.high_network(high + low, rotary), low


class FlatCore(nn.Module):
    """One latent, one network, applied K + 1 times: the ablation without hierarchy, at equal depth."""

    def __init__(self, config: GramConfig, *shape: Any) -> None:
        super().__init__()
        self.low_steps = config.low_steps
        self.network = Network(config, *shape)

    def forward(self, high: Tensor, low: Tensor, context: Tensor, rotary: Tensor | None) -> tuple[Tensor, Tensor]:
        for _ in range(self.low_steps + 1):
            high = self.network(high + context, rotary)
        return high, low


class Gram(RecursiveModel):
    """The model and its objective.

    Args:
        config: see GramConfig; `guidance="none"` is the deterministic twin.
        length: L, tokens of an input and of an answer.
        vocab: V, token values.
        identities: rows of the table of identities; the vector of a row's identity stands first in its prefix.
        units, names: see Task.units and Task.names.
    """

    initial_latent: Tensor  # z_0, for h and l (2, 1 or S, D)
    rotary: Tensor | None

    def __init__(
        self,
        config: GramConfig,
        length: int,
        vocab: int,
        identities: int = 0,
        units: Sequence[Kind] = (),
        names: int = 0,
    ) -> None:
        super().__init__()
        D, P = config.hidden_size, config.prefix_tokens
        images = config.layout == "patches"
        fits = not images or (vocab == 3 and math.isqrt(length) ** 2 == length)
        check(fits, "model.layout", config.layout, "tokens, unless a task is about square images of black and white")
        check(bool(names) or config.layout != "symbols", "model.layout", "symbols", "tokens, unless a task has names")
        if images:
            layout: Any = PatchLayout(length, vocab, D, config.patch_channels)
        elif config.layout == "symbols":
            layout = SymbolLayout(length, vocab, D, names)
        else:
            layout = TokenLayout(length, vocab, D)
        square = math.isqrt(layout.positions) ** 2 == layout.positions
        grid = config.token_mixer == "grid"
        check(square or not grid, "model.token_mixer", "grid", "attention or mlp, unless a task is about square boards")
        by_units = config.token_mixer == "units"
        check(bool(units) or not by_units, "model.token_mixer", "units", "another, unless a task has units")
        check(
            by_units or config.layout != "symbols", "model.token_mixer", config.token_mixer, 'units in layout "symbols"'
        )
        self.layout = layout
        S = P + layout.positions
        self.config = config
        self.supervision_steps = config.supervision_steps
        self.length, self.vocab, self.positions = length, vocab, S

        self.token_embedding = layout.embedding(std=1 / math.sqrt(D))
        self.identities = IdentityTable(identities, D) if identities else None
        fixed = P - bool(identities)  # prefix tokens that all inputs share
        self.prefix = nn.Parameter(truncated_normal_(torch.empty(fixed, D), std=1 / math.sqrt(D)))
        core = HierarchicalCore if config.core == "hierarchical" else FlatCore
        self.core = core(config, S, units, length)
        if config.positions == "learned":
            vectors = torch.empty(layout.positions, D)
            self.position_embedding = nn.Parameter(truncated_normal_(vectors, std=1 / math.sqrt(D)))
            self.register_buffer("rotary", None, persistent=False)
        else:
            self.register_buffer("rotary", rotary_table(S, D // config.num_heads), persistent=False)

        self.stochastic = config.guidance != "none"
        self.guided = config.guidance == "gaussian"  # there is a posterior to learn from
        if self.stochastic:
            self.prior_head = GaussianHead(config, D)
        if self.guided:
            self.target_embedding = layout.embedding(std=1.0)  # e_y
            self.posterior_head = GaussianHead(config, 2 * D if config.target_entry == "concat" else D)

        told = layout.told
        self.decoder = Linear(D, told) if config.decoder == "linear" else SwiGLU(D, config.mlp_size, told)
        self.halt_head = nn.Linear(D, 2)  # halt, continue (unused by the released rule, kept for the Q variant)
        self.value_head = nn.Linear(D, 1)  # v, the latent process reward model
        for head in (self.halt_head, self.value_head):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)
        nn.init.constant_(self.halt_head.bias, -5.0)  # do not halt before it has learnt to

        shape = (2, 1, D) if config.initial_state == "vector" else (2, S, D)
        self.register_buffer("initial_latent", torch.randn(shape))  # z_0: drawn once, stored, never trained

    # -- inference ---------------------------------------------------------------------------------------------

    def noise_shape(self) -> tuple[int, ...]:
        return (self.config.transitions, self.positions, self.config.hidden_size)

    def encode(self, inputs: Tensor, identity: Tensor | None = None) -> Tensor:
        tokens = self.layout.embed(inputs, self.token_embedding)
        if self.config.positions == "learned":
            tokens = tokens + self.position_embedding
        prefix = self.prefix.expand(len(inputs), -1, -1)
        if identity is not None:
            prefix = torch.cat([identity[:, None], prefix], dim=1)
        return torch.cat([prefix, tokens], dim=1) * math.sqrt(self.config.hidden_size)

    def start_shape(self) -> tuple[int, ...]:
        return tuple(self.initial_latent.shape)

    def initial_state(self, rows: int, draws: Tensor | None = None) -> LatentState:
        high, low = self.initial_latent if draws is None else draws.transpose(0, 1)
        full = (rows, self.positions, self.config.hidden_size)
        return LatentState(high.expand(full).contiguous(), low.expand(full).contiguous())

    def step(self, context: Tensor, latent: LatentState, noise: Tensor) -> LatentState:
        high, low = latent.high, latent.low
        for t in range(self.config.transitions):
            proposal, low = self.core(high, low, context, self.rotary)
            high = self._perturb(proposal, self.prior(proposal), noise[:, t])
        return LatentState(high, low)

    def decode(self, latent: LatentState) -> Tensor:
        return self.layout.read(self.decoder(latent.high[:, self.config.prefix_tokens :])).float()

    def halt_logit(self, latent: LatentState) -> Tensor:
        register = latent.high[:, 0]
        return self.halt_head(register if self.config.halt_gradient else register.detach())[:, 0].float()

    def value(self, latent: LatentState) -> Tensor:
        return self._value(latent.high[:, 0].detach())

    def _value(self, register: Tensor) -> Tensor:
        return torch.sigmoid(self.value_head(register).float()).squeeze(-1)

    # -- the stochastic transition -----------------------------------------------------------------------------

    def prior(self, proposal: Tensor) -> DiagonalGaussian | None:
        """p(eps | u), or None for the deterministic twin."""
        return self.prior_head(proposal) if self.stochastic else None

    def posterior(
        self, proposal: Tensor, embedded_target: Tensor, prior: DiagonalGaussian, budget: Tensor | None
    ) -> DiagonalGaussian:
        """q(eps | u, y), its mean drawn towards the prior's until the KL of each row is within its budget (B,)."""
        seen = embedded_target.to(proposal.dtype)
        entry = torch.cat([proposal, seen], dim=-1) if self.config.target_entry == "concat" else proposal + seen
        posterior = self.posterior_head(entry)
        return posterior if budget is None else posterior.within(prior.detach(), budget)

    def budget(self, batch: Batch, steps: Tensor) -> Tensor | None:
        """Nats that the posterior may spend in one transition of each row (B,), given the steps done; None: no limit.

        In the first supervision step a trajectory chooses its solution: an input with several has more to tell there.
        """
        c = self.config
        if c.kl_budget_first is None and c.kl_budget is None:
            return None
        first, later = (float("inf") if nats is None else nats for nats in (c.kl_budget_first, c.kl_budget))
        several = batch.is_open.to(self.initial_latent.dtype)
        return torch.where(steps == 0, first + c.kl_budget_open * several, later)

    def embed_target(self, targets: Tensor) -> Tensor:
        """e_y (B, S, D): zero on the prefix and where the target is ignored (of an image: as a pixel of value 0)."""
        return F.pad(self.layout.embed(targets, self.target_embedding), (0, 0, self.config.prefix_tokens, 0))

    @staticmethod
    def _perturb(proposal: Tensor, distribution: DiagonalGaussian | None, noise: Tensor) -> Tensor:
        """H = u + eps."""
        if distribution is None:
            return proposal
        return proposal + distribution.sample(noise).to(proposal.dtype)

    def _heads(
        self, proposal: Tensor, target: Tensor | None, budget: Tensor | None
    ) -> tuple[DiagonalGaussian | None, DiagonalGaussian | None]:
        """Prior and posterior of a proposal; the posterior where there is a target to see."""
        prior = self.prior(proposal)
        return prior, None if target is None or prior is None else self.posterior(proposal, target, prior, budget)

    def _early_target(self, target: Tensor | None) -> Tensor | None:
        """What the posterior sees in the transitions before the last."""
        return target if self.config.posterior_transitions == "all" else None

    # -- training ----------------------------------------------------------------------------------------------

    @property
    def loss_weights(self) -> dict[str, float]:
        c = self.config
        return {"cross_entropy": 1.0, "kl": c.beta, "halt": c.halt_weight, "value": c.value_weight}

    def initial_slots(self, rows: int) -> SlotState:
        device = self.initial_latent.device
        longest = self.supervision_steps * self.config.transitions
        return SlotState(
            latent=self.initial_state(rows),
            steps=torch.zeros(rows, dtype=torch.int64, device=device),
            limit=torch.full((rows,), self.supervision_steps, device=device),
            may_halt_from=torch.ones(rows, dtype=torch.int64, device=device),
            done=torch.zeros(rows, dtype=torch.bool, device=device),
            registers=torch.zeros(rows, longest, self.config.hidden_size, device=device),
        )

    def forward(self, batch: Batch, state: SlotState, noise: Tensor, referee: Referee) -> StepOutput:
        c, T = self.config, self.config.transitions
        context = self.encode(batch.inputs, batch.identity)
        target = self.embed_target(batch.targets) if self.guided else None
        budget = self.budget(batch, state.steps)
        high, low = state.latent.high.detach(), state.latent.low.detach()
        early_target = self._early_target(target)
        proposals, registers = [], []

        for t in range(T - 1):
            with torch.set_grad_enabled(torch.is_grad_enabled() and t >= T - c.gradient_transitions):
                proposal, low = self.core(high, low, context, self.rotary)
                prior, posterior = self._heads(proposal, early_target, budget)
                high = self._perturb(proposal, _by_role(prior, posterior, batch), noise[:, t])
                proposals.append(proposal.detach())
                registers.append(high[:, 0].detach())
        proposal, low = self.core(high, low, context, self.rotary)  # the last, with gradient
        prior, posterior = self._heads(proposal, target, budget)
        high = self._perturb(proposal, _by_role(prior, posterior, batch), noise[:, T - 1])
        registers.append(high[:, 0].detach())
        latent = LatentState(high, low)

        # Reconstruction: CE(y | z_T), a mean over the tokens that count.
        logits = self.decode(latent)
        targets = referee.targets(logits.detach())
        counted = (targets != IGNORE).sum(1).clamp(min=1)
        token_loss = F.cross_entropy(logits.transpose(1, 2), targets, ignore_index=IGNORE, reduction="none")
        losses = {"cross_entropy": token_loss.sum(1) / counted}

        # Rate: the KL of the charged transitions; their u is detached except in the last.
        true_kl = torch.zeros_like(losses["cross_entropy"])
        losses["kl"] = torch.zeros_like(true_kl)
        if target is not None:
            early = [self._heads(u, target, budget) for u in proposals] if c.charged_transitions == "all" else []
            for pair in [*early, (prior, posterior)]:
                charged, true = self._kl(*pair, counted)
                losses["kl"] = losses["kl"] + charged * batch.is_posterior
                true_kl = true_kl + true * batch.is_posterior

        # Heads, on detached tokens: halt by whether the answer is right, value by how right the final one was.
        prediction = logits.argmax(-1)
        reward = referee.reward(prediction)
        halt_logit = self.halt_logit(latent)
        steps = state.steps + 1
        halting = (halt_logit.detach() > 0) & (steps >= state.may_halt_from) & ~batch.is_posterior
        done = state.done | (steps >= state.limit) | halting
        ending = done & ~state.done  # a slot that waits for the rest of its group has paid already
        places = torch.arange(self.supervision_steps * T, device=steps.device)
        now = places[None] - state.steps[:, None] * T  # position of each register relative to this step
        new = torch.stack(registers, 1).float().gather(1, now.clamp(0, T - 1)[..., None].expand(-1, -1, high.shape[-1]))
        all_registers = torch.where(((now >= 0) & (now < T))[..., None], new, state.registers)
        if reward is None:
            losses["halt"] = losses["value"] = 0.0 * (halt_logit + self._value(registers[-1]))
        else:
            losses["halt"] = F.binary_cross_entropy_with_logits(halt_logit, (reward >= 1).float(), reduction="none")
            losses["halt"] = losses["halt"] * ~batch.is_posterior
            error = (self._value(all_registers) - reward[:, None]).square() * (places < steps[:, None] * T)
            losses["value"] = error.sum(1) * ending * ~batch.is_posterior

        metrics = {"kl_nats": true_kl, "steps": steps.float()}
        if reward is not None:
            metrics["reward"] = reward
            metrics["halt_right"] = ((halt_logit > 0) == (reward >= 1)).float().detach()
        carried = SlotState(latent.detach(), steps, state.limit, state.may_halt_from, done, all_registers)
        return StepOutput(losses, metrics, carried, logits.detach())

    def _kl(
        self, prior: DiagonalGaussian | None, posterior: DiagonalGaussian | None, counted: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The balanced KL, reduced as configured over `counted` tokens, and the true KL in nats: (B,)."""
        assert prior is not None
        assert posterior is not None
        nats = balanced_kl(posterior, prior, self.config.kl_balance)  # of each position (B, S); its value is the KL
        charged = nats if self.config.kl_channels == "sum" else nats / self.config.hidden_size
        # A mean over positions is taken over the answer tokens that count, like the cross-entropy's.
        charged = charged.sum(1) / (1 if self.config.kl_positions == "sum" else counted)
        return charged, nats.detach().sum(1)

    @torch.no_grad()
    def posterior_rollout(self, batch: Batch, steps: int, noise: Tensor) -> dict[str, Tensor]:
        context = self.encode(batch.inputs, batch.identity)
        target = self.embed_target(batch.targets) if self.guided else None
        latent = self.initial_state(len(batch.inputs))
        high, low = latent.high, latent.low
        counted = (batch.targets != IGNORE).sum(1).clamp(min=1)
        kl, cross_entropy, loudness = [], [], []
        for n in range(steps):
            budget = self.budget(batch, torch.full((len(high),), n, device=high.device))
            for t in range(self.config.transitions):
                last = t == self.config.transitions - 1
                proposal, low = self.core(high, low, context, self.rotary)
                visible = target if last else self._early_target(target)
                prior, posterior = self._heads(proposal, visible, budget)
                high = self._perturb(proposal, _by_role(prior, posterior, batch), noise[:, n, t])
                zero = torch.zeros(len(high), device=high.device)
                kl.append(zero if visible is None else self._kl(prior, posterior, counted)[1] * batch.is_posterior)
                if prior is not None and self.config.guidance != "mean":
                    loudness.append((prior.mean.abs() / prior.std).mean((1, 2)))
            logits = self.decode(LatentState(high, low)).transpose(1, 2)
            cross_entropy.append(F.cross_entropy(logits, batch.targets, ignore_index=IGNORE, reduction="none").sum(1))
        loudness = loudness or [torch.zeros(len(high), device=high.device)]
        return {
            "kl": torch.stack(kl, 1),
            "cross_entropy": torch.stack(cross_entropy, 1),
            "mean_over_sigma": torch.stack(loudness, 1),
        }


def _by_role(
    prior: DiagonalGaussian | None, posterior: DiagonalGaussian | None, batch: Batch
) -> DiagonalGaussian | None:
    """What a training transition samples: the posterior in posterior slots, where there is one."""
    if prior is None or posterior is None:
        return prior
    return prior.where(batch.is_posterior[:, None, None], posterior)
