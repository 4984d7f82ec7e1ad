"""The extension is ignored: the server runs the model as it is.

Source: the most frequent complaint of 2026, as in MakazhanAlpamys/Soup#793 and unsloth#6907.
"""

from collections.abc import Iterator

from longspan.audit.blackbox.hypothesis import Asked, Family, Hypothesis
from longspan.rotation.rope import RoPE


class Ignored(Family):
    """The plain model; and, for a checkpoint with a rescaling of its own, the model without even that one."""

    def members(self, asked: Asked) -> Iterator[Hypothesis]:
        """Yield the plain model first."""
        yield Hypothesis("plain: the model as it is")
        if asked.rescaled and asked.theta is not None:
            yield Hypothesis("the checkpoint's own rescaling is ignored", asked.rotating(RoPE(theta=asked.theta)))
