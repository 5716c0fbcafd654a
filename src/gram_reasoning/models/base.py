"""What every model promises: the narrow waist that training, inference and evaluation look through."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from gram_reasoning.nn.identity import IdentityTable
from gram_reasoning.types import Batch, LatentState, Referee, SlotState, StepOutput


class RecursiveModel(nn.Module, ABC):
    """A model that refines a latent state; `forward` is one supervision step, with its losses."""

    supervision_steps: int
    """Supervision steps of a training trajectory (N_sup)."""
    identities: IdentityTable | None
    """The vector of each identity, for a task whose inputs belong to one (see tasks/demonstrations.py)."""

    @abstractmethod
    def forward(self, batch: Batch, state: SlotState, noise: Tensor, referee: Referee) -> StepOutput:
        """One supervision step of training.

        Args:
            batch: inputs, targets and roles of B slots.
            state: what the slots carry.
            noise: standard normal (B, *noise_shape()).
            referee: the task's rules.
        """

    @property
    @abstractmethod
    def loss_weights(self) -> dict[str, float]:
        """The weight of each entry of `StepOutput.losses`."""

    @abstractmethod
    def noise_shape(self) -> tuple[int, ...]:
        """Shape of the noise that one row needs for one supervision step."""

    @abstractmethod
    def initial_slots(self, rows: int) -> SlotState:
        """Slots at the start of a trajectory."""

    @abstractmethod
    def encode(self, inputs: Tensor, identity: Tensor | None = None) -> Tensor:
        """e_x: inputs (B, L) and the vectors of their identities (B, D), if any -> (B, S, D). Once a trajectory."""

    @abstractmethod
    def initial_state(self, rows: int, draws: Tensor | None = None) -> LatentState:
        """z_0 for each row: the stored one, or one made of `draws`, standard normal (rows, *start_shape())."""

    @abstractmethod
    def start_shape(self) -> tuple[int, ...]:
        """Shape of a z_0."""

    @abstractmethod
    def step(self, context: Tensor, latent: LatentState, noise: Tensor) -> LatentState:
        """T transitions under the prior."""

    @abstractmethod
    def decode(self, latent: LatentState) -> Tensor:
        """Logits (B, L, V)."""

    @abstractmethod
    def halt_logit(self, latent: LatentState) -> Tensor:
        """Above 0 where the model takes its answer for right: (B,)."""

    @abstractmethod
    def value(self, latent: LatentState) -> Tensor:
        """Predicted accuracy of the trajectory's final answer: (B,)."""

    @abstractmethod
    def posterior_rollout(self, batch: Batch, steps: int, noise: Tensor) -> dict[str, Tensor]:
        """A whole trajectory with the roles of training, for the full ELBO (a diagnostic, never a result).

        Args:
            noise: standard normal (B, steps, *noise_shape()).

        Returns:
            "kl": true KL of each transition (B, steps * T), 0 where the prior was sampled;
            "cross_entropy": after each supervision step (B, steps), summed over tokens, in nats;
            "mean_over_sigma": mean of |mu| / sigma of the prior at each transition (B, steps * T): far above 1 the
            noise no longer matters; one column of zeros where there is no noise.
        """
