"""Attention under a scheme in one launch of a Triton kernel, with log-sum-exp."""

from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from longspan.compute.fused.copies import origins, per_channel, rotated_keys, rotated_queries
from longspan.compute.fused.lowering import Sweeps, lower
from longspan.compute.fused.tokens import Tokens, back
from longspan.compute.inputs import Inputs
from longspan.compute.kernels.triton.sizes import WIDEST_FLOAT32
from longspan.compute.rotate import decay_span
from longspan.compute.tiling.softmax import needs_steps_of_one
from longspan.memo import remember
from longspan.scheme import Scheme
from longspan.slots import ScoreBias, VectorBias

if TYPE_CHECKING:
    from longspan.compute.kernels.triton.launch import Work

MOST_SWEEPS = 64
"""A rotation that decays needs a sweep for each origin."""

MOST_DISTANCES = 2**23
"""Distances of a table of biases, at most."""

WIDEST = 256
"""Channels of a head, at most."""

DEVICES = ("cuda",)
"""Types of devices that run the kernels; ROCm's is "cuda" too."""

DTYPES = (torch.float16, torch.bfloat16, torch.float32)


@remember(None)
def scheme_refusal(scheme: Scheme) -> str | None:
    """Why one launch cannot compute a scheme; None where it can."""
    if scheme.memory:
        return f"{scheme.memory.name} finds codes block by block"
    if scheme.normalizer.order != 1:
        return f"{scheme.normalizer.name} is not one softmax"
    if scheme.reweight:
        return f"{scheme.reweight.name} multiplies weights after the softmax"
    if isinstance(scheme.bias, VectorBias):
        return f"{scheme.bias.name} adds vectors to keys and values"
    if scheme.cap and scheme.cap.tanh_limit is None:
        return f"{scheme.cap.name} bounds scores by a function that the kernel does not know"
    if not scheme.distance.is_true and scheme.rotation.decays:
        return f"{scheme.rotation.name} decays and {scheme.distance.name} maps its distances"
    return None


def tensors_refusal(device: torch.device, dtype: torch.dtype, channels: int) -> str | None:
    """Why no kernel of Triton serves tensors on a device, with heads of so many channels; None where one does."""
    if find_spec("triton") is None:
        return "the package triton is not installed: pip install 'longspan[gpu]'"
    from longspan.compute.kernels.triton.launch import interpreted

    if device.type not in DEVICES and not (interpreted() and device.type == "cpu"):
        return f"its kernels run on GPUs, the inputs are on {device}"
    if dtype not in DTYPES:
        return f"its kernels compute in float16, bfloat16 and float32, the inputs are {dtype}"
    return f"heads may have {WIDEST} channels, these have {channels}" if channels > WIDEST else None


def plan(x: Inputs) -> "Fused | str":
    """What one launch computes for some inputs, found once; or why it cannot."""
    channels = max(x.query.shape[3], x.value.shape[3])
    reason = tensors_refusal(x.query.device, x.query.dtype, channels) or scheme_refusal(x.scheme)
    if reason:
        return reason
    tokens = Tokens.of(x.queries, x.keys, needs_steps_of_one(x.scheme))
    if isinstance(tokens, str):
        return tokens
    spectrum = x.scheme.rotation.spectrum(x.query.shape[-1])
    if spectrum.decays and x.query.dtype == torch.float32 and channels > WIDEST_FLOAT32:
        return f"in float32 heads that decay may have {WIDEST_FLOAT32} channels, these have {channels}"
    span = decay_span(spectrum, x.query.dtype, tokens.reach - tokens.least) if spectrum.decays else 0
    if span and (tokens.reach - tokens.least) // span >= MOST_SWEEPS:
        return f"{x.scheme.rotation.name} decays over {MOST_SWEEPS * span} tokens at most in {x.query.dtype}"
    found = Fused(tokens.sort(x), tokens, lower(x.scheme, tokens, span), span)
    if isinstance(x.scheme.bias, ScoreBias) and not found.is_linear and tokens.reach - tokens.least > MOST_DISTANCES:
        return f"its table of biases holds {MOST_DISTANCES} distances at most"
    return found


@dataclass(frozen=True, eq=False)
class Fused:
    """A call that one launch serves.

    Arguments:
        inputs: with their tokens sorted.
        tokens: where the document of each query lies.
        sweeps: what each row sees.
        decay_span: tokens over which decaying keys share an origin; 0 where nothing decays.
    """

    inputs: Inputs
    tokens: Tokens
    sweeps: Sweeps
    decay_span: int

    def __call__(self) -> tuple[Float[Tensor, "batch heads queries value_dim"], Float[Tensor, "batch heads queries"]]:
        """Output and log-sum-exp; a row without keys gives zeros and −inf."""
        from longspan.compute.kernels.triton.autograd import FusedAttention

        x, scheme = self.inputs.readable(), self.inputs.scheme
        if norm := scheme.qk_norm:
            weights = x.weights_of(norm)
            x = replace(x, query=norm.query(x.query, weights), key=norm.key(x.key, weights))
        factor, scale = self._scale
        if isinstance(factor, Tensor) and factor.requires_grad:
            x, factor = replace(x, query=x.query * factor[..., None].to(x.query.dtype)), 1.0
        work = self._work(factor, scale)
        query = rotated_queries(x, self.sweeps, self.decay_span)
        key = rotated_keys(x, self.sweeps, self.decay_span)
        logit = scheme.normalizer.extra_logit(x.query.shape[1], x.weights_of(scheme.normalizer))
        logit = None if logit is None else logit.to(x.query.device, torch.float32)
        out, lse = FusedAttention.apply(work, query, key, x.value, self._biases, logit)  # pyright: ignore[reportGeneralTypeIssues]
        return back(out, self.tokens.query_index), back(lse, self.tokens.query_index)

    @property
    def _scale(self) -> tuple[Tensor | float, float]:
        x = self.inputs
        return x.scheme.split_scale(self.sweeps.visible, x.base_scale, x.weights)

    def _work(self, factor: Tensor | float, scale: float) -> "Work":
        """The numbers of the launch; `factor` and `scale` multiply scores."""
        from longspan.compute.kernels.triton.launch import Work

        x, tokens, device = self.inputs, self.tokens, self.inputs.query.device
        diagonal, decay = None, None
        if isinstance(x.scheme.bias, ScoreBias):
            diagonal = (tokens.position - tokens.offset + tokens.start - self._lowest).int()
        if self.decay_span:
            spectrum = x.scheme.rotation.spectrum(x.query.shape[-1])
            of_query = origins(tokens.position[..., None], self.decay_span).int()
            of_sweep = torch.tensor(self.sweeps.origins, dtype=torch.int32, device=device)
            decay = per_channel(spectrum, x.query.shape[-1]).to(device), of_query, of_sweep
        return Work(
            seen=self.sweeps.seen,
            copies=torch.tensor(self.sweeps.copies, dtype=torch.int32, device=device),
            scale=scale if isinstance(factor, Tensor) else scale * factor,
            factor=(factor * scale).float() if isinstance(factor, Tensor) else None,
            cap=x.scheme.cap and x.scheme.cap.tanh_limit,
            diagonal=diagonal,
            linear=self.is_linear,
            decay=decay,
        )

    @property
    def is_linear(self) -> bool:
        """Whether the bias is a number per token of distance: then no table of it is read."""
        scheme = self.inputs.scheme
        return scheme.direction.causal and isinstance(scheme.bias, ScoreBias) and scheme.bias.per_token(1) is not None

    @property
    def _lowest(self) -> int:
        """The smallest i − j in the table of biases."""
        return 0 if self.inputs.scheme.direction.causal else self.tokens.least - self.tokens.reach + 1

    @property
    def _biases(self) -> Float[Tensor, "heads *distances"] | None:
        """The bias for every i − j; of a linear one, for each token."""
        x, bias = self.inputs, self.inputs.scheme.bias
        if not isinstance(bias, ScoreBias):
            return None
        device, heads = x.query.device, x.query.shape[1]
        if self.is_linear and (per_token := bias.per_token(heads)) is not None:
            return per_token.to(device, torch.float32)
        relative = torch.arange(self._lowest, self.tokens.reach - self.tokens.least, device=device)
        head = torch.arange(heads, device=device)[:, None]
        table = bias(relative, head, heads, x.weights_of(bias)).float().expand(heads, -1)
        return table.contiguous()
