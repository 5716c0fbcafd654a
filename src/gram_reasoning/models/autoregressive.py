"""AR: p(y | x) as the product of p(y_i | x, y_1 .. y_{i-1}), by a decoder of which a part sees x from all sides.

The stack runs over x without a mask, and with the same weights over y, where a position sees all of x and, of y, what
stands before it. Samples come from left to right: by chance, always the likeliest, or, N different ones at once, by a
stochastic beam search (Kool, van Hoof, Welling 2019). Sizes and tokens: B rows, A positions of the answer that count,
H heads, E channels of a head; the token 0, which no answer holds, stands before the first.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gram_reasoning import trees
from gram_reasoning.models.configs import AutoregressiveConfig
from gram_reasoning.models.losses import counted, token_cross_entropy
from gram_reasoning.models.parts import TokenModel
from gram_reasoning.nn.distributions import gumbel, gumbel_under
from gram_reasoning.nn.layers import Attention, Block, Linear, attend
from gram_reasoning.trees import Tree
from gram_reasoning.types import Answer, Batch, Measured, Referee, Shape, StepOutput


class Seen(NamedTuple):
    """What a layer lets others see of some positions."""

    keys: Tensor  # (B, H, positions, E)
    values: Tensor


class Prompt(NamedTuple):
    """What the answer sees of x."""

    cells: Tensor  # e_x where the answer stands (B, A, D)
    seen: tuple[Seen, ...]  # of the prefix and x, in each layer


class Written(NamedTuple):
    """The answer as far as it is drawn."""

    tokens: Tensor  # (B, A), 0 where none is drawn yet
    log_p: Tensor  # ln of the probability of what is drawn (B,)
    score: Tensor  # the same, perturbed: what a beam search keeps the largest of (B,)
    seen: tuple[Seen, ...]  # of the answer's positions, in each layer; zero where none is drawn yet


class Autoregressive(TokenModel):
    """See AutoregressiveConfig."""

    config: AutoregressiveConfig
    later: Tensor  # which of x and y a position of y may not see (A, S + A) bool
    heeds = frozenset({"temperature", "decode"})
    temperature: float = 1.0
    decode: str = "ancestral"

    def __init__(self, config: AutoregressiveConfig, shape: Shape) -> None:
        super().__init__(config, shape)
        c, D = config, config.hidden_size
        where = range(shape.length) if shape.counted is None else shape.counted
        self.cells = slice(where.start, where.stop)  # of an answer, those that count
        self.sampling_steps = len(where)
        self.blocks = nn.ModuleList(
            Block(Attention(D, c.num_heads, c.qk_norm), D, c.mlp_size, c.block_start) for _ in range(c.num_layers)
        )
        self.add_positions()
        self.target_embedding = self.layout.embedding(std=1 / math.sqrt(D))
        self.decoder = Linear(D, shape.vocab)
        pairs = (c.num_layers, c.num_heads, self.positions)  # of x with x, and of y with x and y
        self.on_inputs = nn.Parameter(torch.zeros(*pairs, self.positions)) if c.relations else None
        both = self.positions + len(where)
        self.on_answers = nn.Parameter(torch.zeros(*pairs[:2], len(where), both)) if c.relations else None
        later = torch.ones(len(where), both, dtype=torch.bool).triu(self.positions + 1)
        self.register_buffer("later", later, persistent=False)

    # -- the network -------------------------------------------------------------------------------------------

    def encode(self, inputs: Tensor, identity: Tensor | None = None) -> Tree:
        """A Prompt."""
        e_x = super().encode(inputs, identity)
        _, seen = self.through(e_x, self.rotary, self.on_inputs)
        return Prompt(e_x[:, self.config.prefix_tokens :][:, self.cells], seen)

    def through(
        self,
        h: Tensor,
        rotary: Tensor | None,
        bias: Tensor | None,
        prompt: tuple[Seen, ...] | None = None,
        past: tuple[Seen, ...] | None = None,
        now: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Seen, ...]]:
        """Hidden states (B, S, D) through all layers, and what these let others see.

        Args:
            bias: of the attention scores, an entry for each layer.
            prompt: what stands before the positions of h, in each layer.
            past: what all positions have let others see, where h is but one of them ...
            now: ... the one at which this holds (B, 1, A, 1) bool.
        """
        kept = []
        for i, block in enumerate(self.blocks):
            q, keys, values = block.mixer.project(h, rotary)  # type: ignore[union-attr]
            if past is not None and now is not None:
                keys, values = torch.where(now, keys, past[i].keys), torch.where(now, values, past[i].values)
            kept.append(Seen(keys, values))
            if prompt is not None:
                keys, values = torch.cat([prompt[i].keys, keys], 2), torch.cat([prompt[i].values, values], 2)
            seen = attend(q, keys, values, None if bias is None else bias[i])
            h = block.after(h, block.mixer.merge(seen))  # type: ignore[union-attr,operator]
        return h, tuple(kept)

    def answer_bias(self) -> Tensor:
        """Of the scores of y: (layers, 1 or H, A, S + A)."""
        numbers = self.later.new_zeros(self.config.num_layers, 1, 1, 1, dtype=torch.float32)
        return (numbers if self.on_answers is None else self.on_answers).masked_fill(self.later, -torch.inf)

    def log_odds(self, h: Tensor) -> Tensor:
        """Logits (..., V); the token 0 stands in no answer."""
        logits = self.decoder(h).float()
        return torch.cat([torch.full_like(logits[..., :1], -torch.inf), logits[..., 1:]], -1)

    def entering(self, before: Tensor, cells: Tensor) -> Tensor:
        """What enters at positions of y: the token before and the input's own token there."""
        return self.layout.embed(before, self.target_embedding) * math.sqrt(self.config.hidden_size) + cells

    def logits(self, prompt: Prompt, tokens: Tensor) -> Tensor:
        """Of each token of answers (B, A), given those before it: (B, A, V)."""
        before = torch.cat([torch.zeros_like(tokens[:, :1]), tokens[:, :-1]], 1)
        rotary = None if self.rotary is None else self._turns(slice(None))
        h, _ = self.through(self.entering(before, prompt.cells), rotary, self.answer_bias(), prompt.seen)
        return self.log_odds(h)

    def _turns(self, where: Tensor | slice) -> Tensor:
        """Rotary angles of positions of y: those of the input's token there."""
        assert self.rotary is not None
        return self.rotary[:, self.config.prefix_tokens :][:, self.cells][:, where]

    # -- training ----------------------------------------------------------------------------------------------

    def forward(self, batch: Batch, carry: Tree, noise: Tensor, referee: Referee) -> StepOutput:
        """Every slot learns its own target: to read it is how this model is taught, whatever the slot's role."""
        nats, tokens = self.nats(batch)
        everyone = torch.ones_like(batch.is_guided)
        metrics = {"log_likelihood_nats": Measured(-nats.detach(), everyone)}
        return StepOutput({"cross_entropy": nats / tokens}, metrics, carry)

    def nats(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """-ln p(y | x) over the tokens that count, and how many they are: (B,)."""
        targets = batch.targets[:, self.cells]
        logits = self.logits(self.encode(batch.inputs, batch.identity), targets.clamp(min=0))
        return token_cross_entropy(logits, targets), counted(targets)

    def loss_weights(self, step: int, total: int) -> dict[str, float]:
        return {"cross_entropy": 1.0}

    @torch.no_grad()
    def diagnostics(self, batch: Batch, noise: Tensor, weights: dict[str, float]) -> dict[str, Tensor]:
        """log_likelihood_nats: ln p(y | x), exact, at temperature 1."""
        return {"log_likelihood_nats": -self.nats(batch)[0]}

    # -- sampling ----------------------------------------------------------------------------------------------

    @property
    def side_by_side(self) -> int:
        return self.samples if self.decode == "beam" else 1

    def step_noise_shape(self) -> tuple[int, ...]:
        return (self.shape.vocab,)

    def initial_state(self, rows: int) -> Written:
        c, A = self.config, self.sampling_steps
        none = self.later.new_zeros(rows, dtype=torch.float32)
        blank = none.new_zeros(rows, c.num_heads, A, c.hidden_size // c.num_heads)
        tokens = none.new_zeros(rows, A, dtype=torch.int64)
        return Written(tokens, none, none, tuple(Seen(blank, blank) for _ in self.blocks))

    def step(self, context: Prompt, state: Written, noise: Tensor, n: Tensor) -> Written:
        """Draw token n of each row."""
        rows, A = torch.arange(len(n), device=n.device), self.sampling_steps
        before = torch.where(n > 0, state.tokens[rows, (n - 1).clamp(min=0)], 0)
        entering = self.entering(before[:, None], context.cells[rows, n][:, None])
        turns = None if self.rotary is None else self._turns(n)[:, :, None, None]
        bias = self.answer_bias()[:, :, n].transpose(1, 2)[:, :, :, None]  # (layers, B, 1 or H, 1, S + A)
        now = torch.arange(A, device=n.device) == n[:, None]
        h, seen = self.through(entering, turns, bias, context.seen, state.seen, now[:, None, :, None])
        log_p = (self.log_odds(h[:, 0]) / self.temperature).log_softmax(-1)
        draws = gumbel(noise)
        if self.decode == "beam":
            return self._widen(state._replace(seen=seen), log_p, draws, n, now)
        token = (log_p if self.decode == "greedy" else log_p + draws).argmax(-1)
        total = state.log_p + log_p[rows, token]
        return Written(torch.where(now, token[:, None], state.tokens), total, total, seen)

    def _widen(self, state: Written, log_p: Tensor, draws: Tensor, n: Tensor, now: Tensor) -> Written:
        """Of all continuations of the N beams of an input, the N with the largest perturbed ln p, largest first.

        Each beam's perturbed ln p is the largest of its continuations', so the N that are left at the end are those
        of a perturbation of all sequences: N samples without replacement. A score of -inf marks a beam that is none.
        """
        N, V = self.samples, self.shape.vocab
        first = torch.arange(len(n), device=n.device) % N == 0
        largest = torch.where((n > 0) | first, state.score, -torch.inf)  # at the start there is one, the empty beam
        total = state.log_p[:, None] + log_p
        score, place = gumbel_under(total + draws, largest).view(-1, N * V).topk(N, dim=1)
        parent = (place // V + N * torch.arange(len(place), device=n.device)[:, None]).flatten()
        token = (place % V).flatten()
        state = trees.over(lambda t: t[parent], state)
        tokens = torch.where(now, token[:, None], state.tokens)
        return Written(tokens, total[parent, token], score.flatten(), state.seen)

    def answer(self, state: Written) -> Answer:
        """The tokens, and their probability together; nothing but 0 in a beam that is none, where there are too few."""
        there = state.score > -torch.inf
        full = state.tokens.new_zeros(len(state.tokens), self.shape.length)
        full[:, self.cells] = state.tokens * there[:, None]
        return Answer(full, None, torch.where(there, state.log_p.exp(), 0.0), None)
