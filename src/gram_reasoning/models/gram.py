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

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gram_reasoning.errors import check
from gram_reasoning.models.base import Look, RecursiveModel
from gram_reasoning.models.configs import GramConfig
from gram_reasoning.models.leak import leak
from gram_reasoning.models.losses import Registers, counted, token_cross_entropy
from gram_reasoning.models.parts import CORES, GaussianHead, TokenModel, chosen
from gram_reasoning.nn.distributions import DiagonalGaussian, balanced_kl, where
from gram_reasoning.nn.layers import Linear, SwiGLU
from gram_reasoning.trees import Tree
from gram_reasoning.types import Batch, Measured, Referee, Shape, StepOutput


class Latent(NamedTuple):
    """z = (h, l), and what a trajectory with wishes keeps."""

    high: Tensor  # h (B, S, D)
    low: Tensor  # l (B, S, D)
    wishes: Tree = ()  # of a model with wishes (B, positions, outputs), in the layout's order


class Carry(NamedTuple):
    """What a training slot takes along: z, and the register tokens that its value loss will need (see Registers)."""

    high: Tensor
    low: Tensor
    registers: Tensor  # (B, N_sup * T, D)
    wishes: Tree = ()


class View(NamedTuple):
    """What the posterior may use in one supervision step."""

    target: Tensor  # e_y (B, S, D)
    rows: Tensor  # whose transitions sample it (B,) bool
    budget: Tensor | None  # nats that one transition may spend (B,); None: no limit


class Transition(NamedTuple):
    """How z_{t-1} became z_t."""

    proposal: Tensor  # u (B, S, D)
    prior: DiagonalGaussian | None  # p(eps | u); None for the deterministic twin
    posterior: DiagonalGaussian | None  # q(eps | u, y); None without a view


class Gram(TokenModel, RecursiveModel):
    """The model and its objective; see GramConfig. `guidance="none"` is the deterministic twin."""

    config: GramConfig
    initial_latent: Tensor  # z_0, for h and l (2, 1 or S, D)
    steady = frozenset({"wishes"})

    def __init__(self, config: GramConfig, shape: Shape) -> None:
        super().__init__(config, shape)
        D = config.hidden_size
        self.supervision_steps = self.sampling_steps = config.supervision_steps
        self.core = chosen(CORES, "core", config.core)(config.low_steps, self.network)
        self.add_positions()
        self.stochastic = config.guidance != "none"
        self.guided = config.guidance == "gaussian"  # there is a posterior to learn from
        if self.stochastic:
            self.prior_head = GaussianHead(config, D)
        if self.guided:
            self.target_embedding = self.layout.embedding(std=1.0)  # e_y
            self.posterior_head = GaussianHead(config, 2 * D if config.target_entry == "concat" else D)

        outputs = self.layout.outputs
        if config.wishes:
            check(outputs <= D, "model.wishes", True, f"at most {D} outputs a position (model.hidden_size)")
            self.wish_embedding = Linear(outputs, D)
        self.decoder = Linear(D, outputs) if config.decoder == "linear" else SwiGLU(D, config.mlp_size, outputs)
        self.halt_head = nn.Linear(D, 2)  # halt, continue (unused by the released rule, kept for the Q variant)
        self.value_head = nn.Linear(D, 1)  # v, the latent process reward model
        for head in (self.halt_head, self.value_head):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)
        nn.init.constant_(self.halt_head.bias, -5.0)  # do not halt before it has learnt to
        start = (2, 1, D) if config.initial_state == "vector" else (2, self.positions, D)
        self.register_buffer("initial_latent", torch.randn(start))  # z_0: drawn once, stored, never trained

    def noise_shape(self) -> tuple[int, ...]:
        return (self.config.transitions, self.positions, self.config.hidden_size)

    # -- the transition ----------------------------------------------------------------------------------------

    def transition(
        self, z: Latent, context: Tensor, noise: Tensor, view: View | None = None
    ) -> tuple[Latent, Transition]:
        """z_{t-1} -> z_t: under the posterior in the rows of a view, else under the prior. noise (B, S, D)."""
        u, low = self.core(z.high, z.low, context, self.rotary)
        prior, posterior = self.noises(u, view)
        eps = prior
        if view is not None and prior is not None and posterior is not None:
            eps = where(view.rows[:, None, None], posterior, prior)
        high = u if eps is None else u + eps.sample(noise).to(u.dtype)
        return Latent(high, low, z.wishes), Transition(u, prior, posterior)

    def noises(self, u: Tensor, view: View | None) -> tuple[DiagonalGaussian | None, DiagonalGaussian | None]:
        """p(eps | u) and, with a view, q(eps | u, y), whose mean is drawn towards the prior's within its budget."""
        if not self.stochastic:
            return None, None
        prior = self.prior_head(u)
        if view is None:
            return prior, None
        e_y = view.target.to(u.dtype)
        posterior = self.posterior_head(torch.cat([u, e_y], -1) if self.config.target_entry == "concat" else u + e_y)
        return prior, posterior if view.budget is None else posterior.within(prior.detach(), view.budget)

    def view(self, batch: Batch) -> View | None:
        """What the posterior sees of y; None for a model without one."""
        if not self.guided:
            return None
        # e_y is zero on the prefix and where the target is ignored (of an image: as a pixel of value 0).
        embedded = self.layout.embed(batch.targets, self.target_embedding)
        target = F.pad(embedded, (0, 0, self.config.prefix_tokens, 0))
        return View(target, batch.is_guided, self.budget(batch))

    def early(self, view: View | None) -> View | None:
        """What the transitions before the last may see."""
        return view if self.config.posterior_transitions == "all" else None

    def budget(self, batch: Batch) -> Tensor | None:
        """Nats that the posterior may spend in one transition of each row (B,); None: no limit.

        In the first supervision step a trajectory chooses its solution: an input with several has more to tell there.
        """
        c = self.config
        if c.kl_budget_first is None and c.kl_budget is None:
            return None
        first, later = (float("inf") if nats is None else nats for nats in (c.kl_budget_first, c.kl_budget))
        several = batch.is_open.to(self.initial_latent.dtype)
        return torch.where(batch.step == 0, first + c.kl_budget_open * several, later)

    # -- wishes ------------------------------------------------------------------------------------------------

    def wishing(self, z: Latent, noise: Tensor, n: Tensor | None) -> Latent:
        """z, its wishes made of the noise (B, T, S, D) where a trajectory begins: n = 0 of the steps done (B,)."""
        if not self.config.wishes:
            return z
        assert n is not None, "wishes come with a trajectory's first step: which step is this?"
        fresh = noise[:, 0, self.config.prefix_tokens :, : self.layout.outputs]
        return z._replace(wishes=torch.where((n == 0)[:, None, None], fresh, z.wishes))

    def with_wishes(self, context: Tensor, z: Latent) -> Tensor:
        """e_x, and the wishes beside it: (B, S, D)."""
        if not self.config.wishes:
            return context
        return context + F.pad(self.wish_embedding(z.wishes), (0, 0, self.config.prefix_tokens, 0))

    def wished(self, z: Latent) -> Tensor | None:
        """How much each trajectory favours each token at each place (B, L, V)."""
        return self.layout.read(z.wishes) if self.config.wishes else None

    # -- inference ---------------------------------------------------------------------------------------------

    def start_shape(self) -> tuple[int, ...]:
        return tuple(self.initial_latent.shape)

    def initial_state(self, rows: int, draws: Tensor | None = None) -> Latent:
        high, low = self.initial_latent if draws is None else draws.transpose(0, 1)
        full = (rows, self.positions, self.config.hidden_size)
        wishes = ()
        if self.config.wishes:  # none before the first noise
            wishes = torch.zeros(rows, self.layout.positions, self.layout.outputs, device=high.device)
        return Latent(high.expand(full).contiguous(), low.expand(full).contiguous(), wishes)

    def step(self, context: Tensor, state: Latent, noise: Tensor, n: Tensor | None = None) -> Latent:
        """T transitions under the prior."""
        state = self.wishing(state, noise, n)
        context = self.with_wishes(context, state)
        for t in range(self.config.transitions):
            state, _ = self.transition(state, context, noise[:, t])
        return state

    def latent(self, state: Latent) -> Tensor:
        return state.high[:, self.config.prefix_tokens :]

    def decode(self, state: Latent | Carry) -> Tensor:
        return self.layout.read(self.decoder(state.high[:, self.config.prefix_tokens :])).float()

    def halt_logit(self, state: Latent | Carry) -> Tensor:
        register = state.high[:, 0]
        return self.halt_head(register if self.config.halt_gradient else register.detach())[:, 0].float()

    def value(self, state: Latent | Carry) -> Tensor:
        return self.value_of(state.high[:, 0].detach())

    def value_of(self, registers: Tensor) -> Tensor:
        """V of register tokens (..., D)."""
        return torch.sigmoid(self.value_head(registers).float()).squeeze(-1)

    # -- training ----------------------------------------------------------------------------------------------

    def loss_weights(self, step: int, total: int) -> dict[str, float]:
        """Constant, but for the KL's: held for a while, then on a geometric path to beta_final."""
        c, beta = self.config, self.config.beta
        if c.beta_final is not None and beta != 0 and c.beta_hold != 1:
            done = (step / max(1, total) - c.beta_hold) / (1 - c.beta_hold)
            beta *= (c.beta_final / beta) ** min(1.0, max(0.0, done))
        return {"cross_entropy": 1.0, "kl": beta, "halt": c.halt_weight, "value": c.value_weight}

    def initial_carry(self, rows: int) -> Carry:
        transitions = self.supervision_steps * self.config.transitions
        blank = Registers.blank(rows, transitions, self.config.hidden_size, self.initial_latent.device)
        high, low, wishes = self.initial_state(rows)
        return Carry(high, low, blank, wishes)

    def forward(self, batch: Batch, carry: Carry, noise: Tensor, referee: Referee) -> StepOutput:
        c, T = self.config, self.config.transitions
        free = ~batch.is_guided  # under the prior
        context, view = self.encode(batch.inputs, batch.identity), self.view(batch)
        z = self.wishing(Latent(carry.high.detach(), carry.low.detach(), carry.wishes), noise, batch.step)
        context = self.with_wishes(context, z)
        early, registers = [], []
        for t in range(T - 1):  # without gradient, but for the last of them if more than one transition has it
            with torch.set_grad_enabled(torch.is_grad_enabled() and t >= T - c.gradient_transitions):
                z, passed = self.transition(z, context, noise[:, t], self.early(view))
                early.append(passed.proposal)
                registers.append(z.high[:, 0].detach())
        z, last = self.transition(z, context, noise[:, T - 1], view)  # the last, with gradient
        registers.append(z.high[:, 0].detach())

        # Reconstruction: CE(y | z_T), a mean over the tokens that count.
        logits = self.decode(z)
        targets = referee.targets(logits.detach(), self.wished(z))
        tokens = counted(targets)
        losses = {"cross_entropy": token_cross_entropy(logits, targets) / tokens}

        # Rate: the KL of the charged transitions; their u is detached where no gradient flows.
        losses["kl"] = nats = torch.zeros_like(losses["cross_entropy"])
        if view is not None:
            pairs = [self.noises(u, view) for u in early] if c.charged_transitions == "all" else []
            for prior, posterior in [*pairs, (last.prior, last.posterior)]:
                charged, true = self.kl(prior, posterior, tokens)
                losses["kl"] = losses["kl"] + charged * batch.is_guided
                nats = nats + true * batch.is_guided

        # Heads, on detached tokens: halt by whether the answer is right, value by how right the final one was.
        reward = referee.reward(logits.argmax(-1))
        halt_logit = self.halt_logit(z)
        sure = halt_logit.detach() > 0
        kept = Registers.written(carry.registers, torch.stack(registers, 1), batch.step)
        metrics = {"kl_nats": Measured(nats, batch.is_guided)}
        if reward is None:
            losses["halt"] = losses["value"] = 0.0 * (halt_logit + self.value_of(registers[-1]))
        else:
            right = reward >= 1
            losses["halt"] = F.binary_cross_entropy_with_logits(halt_logit, right.float(), reduction="none") * free
            error = Registers.error(self.value_of(kept), reward, (batch.step + 1) * T)
            losses["value"] = error * referee.ends(sure) * free
            metrics["posterior_accuracy"] = Measured(right.float(), batch.is_guided)
            metrics["prior_slot_accuracy"] = Measured(right.float(), free)
            metrics["halt_accuracy"] = Measured((sure == right).float(), free)
        return StepOutput(losses, metrics, Carry(z.high.detach(), z.low.detach(), kept, z.wishes), sure)

    def kl(
        self, prior: DiagonalGaussian | None, posterior: DiagonalGaussian | None, tokens: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The balanced KL, reduced as configured for answers of so many tokens, and the true KL in nats: (B,)."""
        assert prior is not None
        assert posterior is not None
        nats = balanced_kl(posterior, prior, self.config.kl_balance)  # of each position (B, S); its value is the KL
        charged = nats if self.config.kl_channels == "sum" else nats / self.config.hidden_size
        # A mean over positions is taken over the answer tokens that count, like the cross-entropy's.
        charged = charged.sum(1) / (1 if self.config.kl_positions == "sum" else tokens)
        return charged, nats.detach().sum(1)

    @torch.no_grad()
    def diagnostics(self, batch: Batch, noise: Tensor, weights: dict[str, float]) -> dict[str, Tensor]:
        """The two bounds in nats (the paper's Figure 8), and what they are made of.

        elbo_full: reconstruction after the last supervision step minus the KL of every transition of the trajectory.
        elbo_surrogate: the mean over supervision steps of reconstruction minus beta times the last transition's KL.
        mean_over_sigma: |mu| / sigma of the prior: far above 1 the noise no longer matters; 0 without noise.
        """
        c, T = self.config, self.config.transitions
        context, z = self.encode(batch.inputs, batch.identity), self.initial_state(len(batch.inputs))
        tokens, none = counted(batch.targets), torch.zeros(len(batch.inputs), device=batch.inputs.device)
        kl, cross_entropy, loudness = [], [], []
        for n in range(noise.shape[1]):
            step = torch.full_like(batch.step, n)
            view, z = self.view(replace(batch, step=step)), self.wishing(z, noise[:, n], step)
            seen_x = self.with_wishes(context, z)
            for t in range(T):
                seen = view if t == T - 1 else self.early(view)
                z, passed = self.transition(z, seen_x, noise[:, n, t], seen)
                kl.append(none if seen is None else self.kl(passed.prior, passed.posterior, tokens)[1] * seen.rows)
                if passed.prior is not None and c.guidance != "mean":
                    loudness.append((passed.prior.mean.abs() / passed.prior.std).mean((1, 2)))
            cross_entropy.append(token_cross_entropy(self.decode(z), batch.targets))
        every, reconstruction = torch.stack(kl, 1), -torch.stack(cross_entropy, 1)
        beta = weights["kl"] * (self.shape.length if c.kl_positions == "sum" else 1)  # beside whole sums
        beta /= c.hidden_size if c.kl_channels == "mean" else 1
        return {
            "elbo_full": reconstruction[:, -1] - every.sum(1),
            "elbo_surrogate": (reconstruction - beta * every[:, T - 1 :: T]).mean(1),
            "kl_full_nats": every.sum(1),
            "mean_over_sigma": torch.stack(loudness or [none], 1).mean(1),
            "kl_by_transition": every,
        }

    def alarm(self, looks: Sequence[Look]) -> str | None:
        """The leak: right with the answer in view, and not without."""
        return leak(looks)
