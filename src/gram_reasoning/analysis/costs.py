"""Operations and bytes of one supervision step, counted from the configuration.

Counted are the matrix products, noise heads included: their multiplications and additions, and the bytes of their
operands in bfloat16, each read or written once. Elementwise work is left out of both, so the time that follows is a
floor. A test compares the operations with what PyTorch's own counter sees.

Shape letters: B rows, S positions, D channels, L output tokens, V vocabulary.
"""

from dataclasses import dataclass

from gram_reasoning.config import GramConfig
from gram_reasoning.nn.layouts import patches_of
from gram_reasoning.tasks.base import Task

BYTES = 2
"""Of a bfloat16 number."""


@dataclass(frozen=True)
class Cost:
    """What some matrix products cost."""

    operations: int = 0
    bytes: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.operations + other.operations, self.bytes + other.bytes)

    def __rmul__(self, times: int) -> "Cost":
        return Cost(times * self.operations, times * self.bytes)

    def seconds(self, operations_per_second: float, bytes_per_second: float) -> float:
        """The shortest time on a device with these rates."""
        return max(self.operations / operations_per_second, self.bytes / bytes_per_second)


def product(m: int, k: int, n: int, times: int = 1) -> Cost:
    """`times` products of (m, k) and (k, n)."""
    return times * Cost(2 * m * k * n, BYTES * (m * k + k * n + m * n))


def swiglu(rows: int, size_in: int, hidden: int, size_out: int) -> Cost:
    return product(rows, size_in, 2 * hidden) + product(rows, hidden, size_out)


@dataclass(frozen=True)
class Counter:
    """The parts of `Gram` for B rows of L tokens out of V.

    `forward` counts a part's forward pass; its backward pass is two products of the same size for each.
    """

    config: GramConfig
    length: int
    vocab: int
    rows: int
    units: int = 0
    """Units of all kinds together (Task.units)."""
    names: int = 0
    """See Task.names."""

    @classmethod
    def of(cls, config: GramConfig, task: Task, rows: int) -> "Counter":
        """What B rows of a task cost."""
        return cls(config, task.length, task.vocab, rows, sum(map(len, task.units)), task.names)

    @property
    def positions(self) -> int:
        return self.config.prefix_tokens + self.answer_positions

    @property
    def answer_positions(self) -> int:
        """Latent positions that are decoded."""
        if self.config.layout == "patches":
            return patches_of(self.length)
        return self.length * (self.names if self.config.layout == "symbols" else 1)

    def embedding(self) -> Cost:
        """The convolutions over an image and the map of its patches; a table of tokens costs nothing."""
        if self.config.layout != "patches":
            return Cost()
        C, patches = self.config.patch_channels, self.rows * self.answer_positions
        convolutions = product(4 * patches, 25, C) + product(4 * patches, 25 * C, C)
        return convolutions + product(patches, 4 * C, self.config.hidden_size)

    def network(self) -> Cost:
        """f_L or f_H."""
        c, B, S, D = self.config, self.rows, self.positions, self.config.hidden_size
        if c.token_mixer == "attention":
            E, heads = D // c.num_heads, B * c.num_heads
            mixer = product(B * S, D, 3 * D) + product(B * S, D, D)
            mixer += product(S, E, S, heads) + product(S, S, E, heads)
        elif c.token_mixer == "grid":
            mixer = product(B * self.answer_positions, 9 * D, D) + product(B, D, D)
        elif c.token_mixer == "units":
            each = self.answer_positions // self.length
            mixer = product(self.units, self.length, each * D, B) + product(self.length, self.units, each * D, B)
            mixer += swiglu(B * self.units * each, D, c.mixer_size, D) + product(B, D, D)
            mixer += swiglu(B * self.length, D, c.mixer_size, D) if each > 1 else Cost()
        else:
            mixer = swiglu(B * D, S, c.mixer_size, S)
        return c.num_layers * (mixer + swiglu(B * S, D, c.mlp_size, D))

    def transition(self) -> Cost:
        """K low-level steps and the proposal (the flat core: K + 1 applications of its network)."""
        return (self.config.low_steps + 1) * self.network()

    def head(self, size_in: int) -> Cost:
        """Mean and deviation, as far as the guidance has them."""
        c = self.config
        mean, deviation = c.guidance != "noise", c.guidance != "mean" and c.sigma_learned
        outputs = 0 if c.guidance == "none" else mean + deviation
        return outputs * swiglu(self.rows * self.positions, size_in, c.mlp_size, c.hidden_size)

    def prior(self) -> Cost:
        return self.head(self.config.hidden_size)

    def posterior(self) -> Cost:
        """Zero for the twins that have none."""
        c = self.config
        if c.guidance != "gaussian":
            return Cost()
        return self.head(c.hidden_size * (2 if c.target_entry == "concat" else 1))

    def decoder(self) -> Cost:
        c, rows = self.config, self.rows * self.answer_positions
        told = {"patches": 4 * self.vocab, "symbols": 1}.get(c.layout, self.vocab)
        if c.decoder == "linear":
            return product(rows, c.hidden_size, told)
        return swiglu(rows, c.hidden_size, c.mlp_size, told)

    def training_step(self) -> Cost:
        """T - 1 transitions forward; the last, its heads and the decoder forward and backward."""
        c = self.config
        early = self.transition() + self.prior()
        if c.posterior_transitions == "all":
            early += self.posterior()
        learnt = self.transition() + self.prior() + self.posterior() + self.decoder() + self.embedding()
        if c.guidance == "gaussian":
            learnt += self.embedding()  # of the target
        if c.charged_transitions == "all":  # heads on the detached proposals of the early transitions
            learnt += (c.transitions - 1) * (self.prior() + self.posterior())
        return (c.transitions - 1) * early + 3 * learnt

    def sampling_step(self) -> Cost:
        """T transitions under the prior and an answer; the input has been embedded before."""
        return self.config.transitions * (self.transition() + self.prior()) + self.decoder()
