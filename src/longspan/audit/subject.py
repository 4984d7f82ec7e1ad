"""What the checks of an audit look at: a checkpoint, what its model does, and the length that is asked about."""

from dataclasses import dataclass
from functools import cached_property

from longspan.audit.checkpoint import Checkpoint
from longspan.audit.fields import Effect, effects
from longspan.audit.watching.observation import Observation
from longspan.errors import RefusalError


@dataclass(frozen=True, eq=False)
class Subject:
    """One checkpoint under audit.

    Arguments:
        checkpoint: its config, as written and as read.
        length: tokens that somebody wants to read; None for texts of any length.
    """

    checkpoint: Checkpoint
    length: int | None = None

    @cached_property
    def refusal(self) -> str:
        """Why transformers builds no model of this config; empty where it does."""
        try:
            self.checkpoint.observation  # noqa: B018
        except RefusalError as error:
            return str(error)
        return ""

    @property
    def observation(self) -> Observation:
        """What the model does."""
        return self.checkpoint.observation

    @cached_property
    def effects(self) -> tuple[Effect, ...]:
        """What each position field of the config does; nothing for a GGUF file, whose header is no config."""
        return () if self.checkpoint.gguf else effects(self.checkpoint)
