"""A stand-in for a model whose loss is a known function of how many tokens are visible: what reductions are checked on.

Its tokens go round in a cycle, so that it knows the next one; how much probability it gives to that is decided by the
number of visible tokens alone.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

Loss = Callable[[Tensor, Tensor], Tensor]
"""From the next token and the number of visible tokens to the next token's loss, nats; both float64."""


class StandIn(nn.Module):
    """A causal language model as `longspan.measure.reading.reader.Reader` uses it.

    Arguments:
        period: tokens of the cycle 0, 1, 2 … 0, at least 3.
        loss: of the next token.
    """

    def __init__(self, period: int, loss: Loss) -> None:
        super().__init__()
        self.period, self.loss = period, loss
        self.head = nn.Linear(period, period, bias=False)
        self.embedding = nn.Embedding(period, 1)
        nn.init.eye_(self.head.weight)
        self.read = 0
        config = SimpleNamespace()
        config.get_text_config = lambda: config
        self.config: Any = config

    @property
    def base_model(self) -> Any:
        """The model without its head."""
        return self.body

    def get_output_embeddings(self) -> nn.Module:
        """Hidden states are logits already."""
        return self.head

    def get_input_embeddings(self) -> nn.Module:
        """As many tokens as the cycle has."""
        return self.embedding

    def body(self, input_ids: Tensor, use_cache: bool, past_key_values: Any = None) -> Any:
        """Hidden states; the cache is the number of tokens read."""
        cache = past_key_values or Count(0)
        visible = cache.tokens + torch.arange(1, input_ids.shape[1] + 1, dtype=torch.float64)
        following = (input_ids + 1) % self.period
        losses = self.loss(following.double(), visible.expand(input_ids.shape))
        # The next token against one other: p = e^−loss, the rest of the vocabulary has no probability.
        hidden = torch.full((*input_ids.shape, self.period), -1e4, dtype=torch.float64)
        hidden.scatter_(2, following[..., None], -torch.log(torch.expm1(losses))[..., None])
        hidden.scatter_(2, ((input_ids + 2) % self.period)[..., None], 0.0)
        self.read += input_ids.numel()
        after = Count(cache.tokens + input_ids.shape[1]) if use_cache else None
        return SimpleNamespace(last_hidden_state=hidden.float(), past_key_values=after)

    def forward(self, input_ids: Tensor, use_cache: bool) -> Any:
        """Logits of all positions."""
        return SimpleNamespace(logits=self.head(self.body(input_ids, use_cache).last_hidden_state))


class Count:
    """A cache that knows how many tokens it holds."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens

    def get_seq_length(self) -> int:
        """How many tokens it holds."""
        return self.tokens

    def crop(self, change: int) -> None:
        """Take back the last tokens; what is read after a cache made a new one, so that nothing has to be done."""
