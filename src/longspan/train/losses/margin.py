"""Margin softmax: cross entropy that is satisfied only where the right token leads by a margin.

    loss_t = −ln( e^{s_x − m} / ( e^{s_x − m} + Σ_{i ≠ x} e^{s_i} ) )        s: logits;  x: the right token;  m > 0

Source: Wang et al. 2018, "Additive Margin Softmax for Face Verification", arXiv:1801.05599; kexue.fm/archives/10145.
Differs from the paper: logits are the model's own and not cosines of normalized vectors, as in the article.
"""

from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from longspan.train.loss import Loss


@dataclass(frozen=True)
class Margin(Loss):
    """Cross entropy with the right token's logit lowered.

    Arguments:
        margin: m, nats; 0 is cross entropy.
    """

    margin: float = 0.3

    def __call__(
        self,
        logits: Float[Tensor, "tokens vocabulary"],
        targets: Int64[Tensor, " tokens"],
        head: Float[Tensor, "vocabulary width"],
    ) -> Float[Tensor, " tokens"]:
        """Return the loss of each target."""
        lowered = logits.scatter_add(1, targets[:, None], logits.new_full((len(targets), 1), -self.margin))
        return functional.cross_entropy(lowered, targets, reduction="none")
