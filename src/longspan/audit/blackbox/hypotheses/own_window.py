"""The sliding window of the model's own sliding layers: missing, half, double, or off by one.

Source: three definitions of a window's width are in use (transformers: the token itself counts; flash-attention and
attention-gym: it does not), huggingface/transformers#39408.
"""

from collections.abc import Iterator

from longspan.audit.blackbox.hypothesis import Asked, Family, Hypothesis


class OwnWindow(Family):
    """What was asked, with sliding layers that see more or less than they were trained with."""

    def members(self, asked: Asked) -> Iterator[Hypothesis]:
        """Yield nothing for a model without sliding layers."""
        size = asked.own_window
        if size is None:
            return
        wrong = {
            "is missing": max(asked.lengths) + 1,
            f"is {size // 2}, half of {size}": size // 2,
            f"is {2 * size}, double {size}": 2 * size,
            f"is {size + 1} instead of {size}": size + 1,
            f"is {size - 1} instead of {size}": size - 1,
        }
        for name, width in wrong.items():
            if width > 0:
                yield Hypothesis(f"the model's sliding window {name}", asked.plan, own_window=width)
