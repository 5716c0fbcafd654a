"""GRAM and its ablations."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

from gram_reasoning.errors import check
from gram_reasoning.models.configs.base import BlocksConfig


@dataclass(frozen=True, kw_only=True)
class GramConfig(BlocksConfig):
    """GRAM and its ablations: shape, transition, objective. Defaults are the paper's where it states one."""

    kind: ClassVar[str] = "gram"

    hidden_size: int = 512  # D
    """Width of every token."""
    mlp_size: int = 512
    """Hidden width of every SwiGLU over channels."""
    mixer_size: int = 128
    """Hidden width of the SwiGLU over the sequence axis (token_mixer "mlp" only)."""
    num_layers: int = 2
    """Layers in each of f_L and f_H."""
    prefix_tokens: int = 16  # P
    """Puzzle-embedding tokens in front of the input; the heads read the first."""
    low_steps: int = 4  # K
    """Low-level steps in a transition."""
    transitions: int = 3  # T
    """Transitions in a supervision step."""
    gradient_transitions: int = 1
    """Transitions, the last of a supervision step, that the gradient flows through (the paper: 1). All of them with one
    supervision step is training without deep supervision: one update a trajectory (the ablation)."""
    supervision_steps: int = 16  # N_sup
    """Supervision steps of a training trajectory."""
    core: Literal["hierarchical", "flat"] = "hierarchical"
    """Two latents and two networks, or one of each (the ablation)."""
    token_mixer: Literal["attention", "mlp", "grid", "units"] = "attention"
    """How tokens see each other: attention, a SwiGLU over the sequence axis, or, not in the paper, on a square board a
    3x3 convolution beside the mean of all, or sums over the units that a task names, such as rows and columns."""
    positions: Literal["rope", "learned"] = "rope"
    """Rotary positions in attention, or a learned vector for each position added to e_x."""
    layout: Literal["tokens", "patches", "symbols"] = "tokens"
    """A latent position for each token; for images, one for each 2x2 patch behind two convolutions; where names such as
    digits may be exchanged, one for each token and name."""
    patch_channels: int = 32
    """Channels of those convolutions (layout "patches" only)."""
    decoder: Literal["linear", "swiglu"] = "linear"
    """Decoder from h to logits: the paper's table says linear, its text SwiGLU."""
    initial_state: Literal["vector", "position"] = "vector"
    """z_0: one fixed random vector for all positions, or one for each."""
    wishes: bool = False
    """A trajectory remembers a part of its first noise, a number for each position and token, and sees it at every
    step as it sees x: its wishes. With `train.prior_target` wished it learns the solution that they favour. So answers
    differ without `guidance` too."""

    guidance: Literal["gaussian", "noise", "mean", "none"] = "gaussian"
    """What is added to u: N(mu, sigma^2), N(0, sigma^2), mu alone, or nothing (the deterministic twin)."""
    posterior_transitions: Literal["all", "last"] = "all"
    """Which of the T transitions of a posterior slot sample the posterior."""
    charged_transitions: Literal["all", "last"] = "last"
    """Which of the T transitions pay their KL."""
    kl_channels: Literal["sum", "mean"] = "sum"
    """Reduction of the KL over channels, in the loss (the logged KL is always the true sum)."""
    kl_positions: Literal["sum", "mean"] = "mean"
    """Reduction of the KL over positions, in the loss; the cross-entropy beside it is a mean over tokens."""
    beta: float = 1.0
    """Weight of the KL."""
    beta_final: float | None = None
    """Weight of the KL at the end of training, reached by a geometric path from beta; None keeps it constant."""
    beta_hold: float = 0.0
    """Share of the training for which the weight stays at beta before that path begins."""
    kl_budget_first: float | None = 1.0
    """Most nats that a posterior may spend on a row in one transition of its first supervision step; None: no limit."""
    kl_budget_open: float = 9.0
    """Nats more in the first supervision step where the input has several solutions: there y is a choice."""
    kl_budget: float | None = 0.5
    """The same in every later supervision step."""
    kl_balance: float = 0.8
    """Share of the KL's gradient that trains the prior; the rest trains the posterior."""
    target_entry: Literal["concat", "sum"] = "concat"
    """How e_y joins u in the posterior."""
    mean_bound: float | None = 1.0
    """Bound of |mu| (by a tanh), beside a u of unit scale; None: none, and the mean may outgrow the noise."""
    sigma_learned: bool = False
    """Whether sigma is learned; otherwise it stays sigma_start. A budget needs a fixed sigma."""
    sigma_start: float = 1.0
    """sigma before training."""
    sigma_min: float = 1e-3
    """Floor of sigma."""
    sigma_max: float = 10.0
    """Ceiling of sigma."""
    halt_weight: float = 0.5
    """Weight of the halt head's loss."""
    halt_gradient: bool = False
    """Let the halt loss shape the state too (as TRM does); otherwise it trains its head only, as the paper says."""
    value_weight: float = 0.5
    """Weight of the value head's (LPRM) loss."""

    def __post_init__(self) -> None:
        super().__post_init__()
        deep = self.gradient_transitions
        check(1 <= deep <= self.transitions, "model.gradient_transitions", deep, "1 to model.transitions")
        check(self.beta >= 0, "model.beta", self.beta, "at least 0")
        check(self.beta_final is None or self.beta_final > 0, "model.beta_final", self.beta_final, "above 0")
        check(0 <= self.beta_hold <= 1, "model.beta_hold", self.beta_hold, "a share in [0, 1]")
        check(self.kl_budget_open >= 0, "model.kl_budget_open", self.kl_budget_open, "at least 0")
        for name in ("kl_budget_first", "kl_budget", "mean_bound"):
            value = getattr(self, name)
            check(value is None or value > 0, f"model.{name}", value, "above 0")
        budgets = (self.kl_budget_first, self.kl_budget)
        check(not self.sigma_learned or budgets == (None, None), "model.sigma_learned", True, "False beside a budget")
        check(0 <= self.kl_balance <= 1, "model.kl_balance", self.kl_balance, "a share in [0, 1]")
        ordered = 0 < self.sigma_min < self.sigma_start < self.sigma_max
        check(ordered, "model.sigma_start", self.sigma_start, "0 < sigma_min < sigma_start < sigma_max")

    def small(self) -> Self:
        tiny = {"hidden_size": 32, "num_heads": 2, "mlp_size": 32, "mixer_size": 16}
        deep = min(2, self.gradient_transitions)
        return replace(self, **tiny, low_steps=1, transitions=2, gradient_transitions=deep, supervision_steps=2)
