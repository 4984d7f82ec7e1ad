"""Cross entropy: −ln p of the right token.

loss_t = −ln p(x_t | x_0 … x_{t−1})        nats
"""

from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from longspan.train.loss import Loss


class CrossEntropy(Loss):
    """The maximum-likelihood loss."""

    def __call__(
        self,
        logits: Float[Tensor, "tokens vocabulary"],
        targets: Int64[Tensor, " tokens"],
        head: Float[Tensor, "vocabulary width"],
    ) -> Float[Tensor, " tokens"]:
        """Return −ln p of each target."""
        return functional.cross_entropy(logits, targets, reduction="none")
