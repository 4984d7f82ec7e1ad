"""The softmax of one span's scores through flash tiles: over all pairs, or over a band of them."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from longspan.compute.inputs import Inputs, residual
from longspan.compute.kernels.kernel import Kernel
from longspan.compute.rotate import Tables, decay_span, rotate, rotate_by, tables
from longspan.compute.tiling import toeplitz
from longspan.compute.tiling.lowering import Cut, Span, View, count_visible, lower, with_common_views
from longspan.compute.tiling.tiles import TiledAttention
from longspan.memo import remember
from longspan.scheme import Scheme
from longspan.slots import EVERYWHERE, UNBOUNDED, Band, ScoreBias, Spectrum, VectorBias


@remember(None)
def refusal(scheme: Scheme) -> str | None:
    """Why tiles cannot compute a scheme; None where they can."""
    if scheme.memory:
        return f"{scheme.memory.name} finds codes block by block"
    if scheme.normalizer.order is None:
        return f"{scheme.normalizer.name} does not stream over keys"
    if scheme.cap:
        return f"{scheme.cap.name} changes scores inside the kernel"
    if isinstance(scheme.bias, VectorBias):
        return _vectors_refusal(scheme, scheme.bias)
    if not scheme.distance.is_true and scheme.rotation.decays:
        return f"{scheme.rotation.name} decays and {scheme.distance.name} maps its distances"
    return None


def _vectors_refusal(scheme: Scheme, bias: VectorBias) -> str | None:
    if bias.constant_beyond is None:
        return f"{bias.name} adds vectors to keys and values that change with every distance"
    if scheme.reweight:
        return f"{scheme.reweight.name} multiplies weights of values to which {bias.name} adds vectors"
    if scheme.rotation.decays:
        return f"{scheme.rotation.name} decays and {bias.name} adds vectors to keys"
    return None


@remember(None)
def needs_steps_of_one(scheme: Scheme) -> bool:
    """Whether positions must step by one with the order, because a mapped distance or a bias depends on them."""
    plain = scheme.distance.is_true and not scheme.rotation.decays
    seen = scheme.bias is not None or scheme.reweight is not None
    return not plain or seen or len(scheme.rotation.segments(UNBOUNDED)) > 1


@dataclass(frozen=True, eq=False)
class SpanSoftmax:
    """The content of one span, ready for tiles.

    Arguments:
        inputs: the inputs of the span alone: all their queries against all their keys.
        span: orders and positions of these tokens.
        kernel: computes the tiles.
        query, key, value: normalized, not rotated yet; queries carry the part of the scale that is not `scale`.
        scale: the number that the kernel multiplies scores with.
    """

    inputs: Inputs
    span: Span
    kernel: Kernel
    query: Tensor
    key: Tensor
    value: Tensor
    scale: float
    _rotated: dict[View, tuple[Tensor, Tensor]] = field(default_factory=dict)

    @classmethod
    def of(cls, x: Inputs, span: Span, kernel: Kernel) -> "SpanSoftmax":
        """Normalize and scale the content of a span."""
        query, key, norm = x.query, x.key, x.scheme.qk_norm
        if norm:
            query, key = norm.query(query, x.weights_of(norm)), norm.key(key, x.weights_of(norm))
        factor, scale = x.scheme.split_scale(count_visible(x.scheme, span, query.device), x.base_scale, x.weights)
        if isinstance(factor, Tensor):
            query = query * factor[..., None].to(query.dtype)
        elif factor != 1.0:
            query = query * factor
        return cls(x, span, kernel, query, key, x.value, scale)

    def attend(
        self,
        within: Band = EVERYWHERE,
        *,
        order: float = 1.0,
        added: Float[Tensor, "heads diagonals"] | None = None,
        logit: Float[Tensor, " heads"] | None = None,
    ) -> tuple[Float[Tensor, "batch heads queries value_dim"], Float[Tensor, "batch heads queries"]]:
        """Output and log-sum-exp of the softmax of order · scores + added over the pairs within a band.

        A row without such pairs gives zeros and −inf. `logit` is the score of one more key, whose value is zero.
        """
        x, scheme, kernel = self.inputs, self.inputs.scheme, self.kernel
        biased = added is not None or isinstance(scheme.bias, ScoreBias)
        spectrum = scheme.rotation.spectrum(x.query.shape[-1])
        shared_origin = decay_span(spectrum, x.query.dtype, x.key.shape[2]) if spectrum.decays else 0
        rest = shared_origin, within, biased
        halvings = kernel.halvings(self.query.shape[0], self.query.shape[1])
        forward = lower(scheme, self.span, Cut(kernel.strip(x.query.dtype), halvings=halvings), *rest)
        backward = lower(scheme, self.span, Cut(None, halvings=halvings), *rest) if torch.is_grad_enabled() else forward
        width = self.value.shape[-1]
        if not forward.tiles:
            others = self.key, self.value, *self.inputs.weights.values()
            return nothing(self.query, width, *others), self.query.new_full(
                self.query.shape[:3], -torch.inf, dtype=self.dtype
            )
        forward, backward = with_common_views(forward, backward)
        # The kernel wants values as wide as queries: zeros change no score and no output.
        wide = kernel.width(max(self.query.shape[-1], width))
        rotated = [_widened(t, wide) for view in forward.views for t in self._rotated_for(view)]
        plans, value, diagonal = (kernel, forward, backward), _widened(self.value, wide), self._diagonal(order, added)
        out, lse = TiledAttention.apply(*plans, self.scale * order, value, diagonal, logit, *rotated)  # pyright: ignore[reportGeneralTypeIssues]
        return out[..., :width], lse

    @property
    def is_all(self) -> bool:
        """Whether one softmax over all pairs is the span's attention; otherwise `decompose` adds several."""
        scheme = self.inputs.scheme
        return not scheme.reweight and scheme.normalizer.order == 1 and not isinstance(scheme.bias, VectorBias)

    @property
    def logit(self) -> Float[Tensor, " heads"] | None:
        """The score of the key without a value that the normalizer adds; None where it adds none."""
        normalizer = self.inputs.scheme.normalizer
        logit = normalizer.extra_logit(self.query.shape[1], self.inputs.weights_of(normalizer))
        return None if logit is None else logit.to(self.query.device)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of log-sum-exps and biases: float32 at least."""
        return torch.promote_types(self.query.dtype, torch.float32)

    def _diagonal(self, order: float, added: Tensor | None) -> Tensor | None:
        bias = self.inputs.scheme.bias
        if not isinstance(bias, ScoreBias):
            return added
        heads, weights = self.query.shape[1], self.inputs.weights_of(bias)
        diagonal = toeplitz.diagonals(bias, self.span, heads, weights, self.dtype, self.query.device)
        diagonal = diagonal if order == 1 else diagonal * order
        return diagonal if added is None else diagonal + added

    def _rotated_for(self, view: View) -> tuple[Tensor, Tensor]:
        if view not in self._rotated:
            self._rotated[view] = self._rotate(view)
        return self._rotated[view]

    def _rotate(self, view: View) -> tuple[Tensor, Tensor]:
        """The view's own queries and keys, rotated to the positions that its branch maps them to."""
        x = self.inputs
        branch = x.scheme.distance.branches()[view.branch]
        spectrum = view.rotation.spectrum(self.query.shape[-1]).in_sections(branch.sections)
        rows, keys = slice(*view.rows), slice(*view.keys)
        query_position, key_position = x.queries.coordinate[:, rows], x.keys.coordinate[:, keys]
        query, key = self.query[:, :, rows], self.key[:, :, keys]
        mapped = branch.query(query_position)
        a, of_query = residual(mapped, query_position, x.query_frame, spectrum)
        c, of_key = residual(branch.key(key_position), key_position, x.key_frame, spectrum)
        if view.origin is not None:
            shrunk = torch.maximum(a - view.origin, a - mapped)[..., 0]
            return rotate(query, a, of_query, shrunk), rotate(key, c, of_key, view.origin - c[..., 0])
        if not spectrum.rotary_dim:
            return query, key
        same = a.shape == c.shape and of_query.gain == of_key.gain and torch.equal(a, c)
        angles = tables(a, of_query)
        return _rotate(query, a, angles, of_query), _rotate(key, c, angles if same else tables(c, of_key), of_key)


def nothing(query: Tensor, width: int, *others: Tensor) -> Tensor:
    """Zeros that are part of the graph of the queries and of other tensors, whatever numbers padding holds."""
    everywhere = torch.ones((), dtype=torch.bool, device=query.device)
    zeros = query.masked_fill(everywhere, 0.0).sum(-1, keepdim=True).repeat(1, 1, 1, width)
    for other in others:
        if other.requires_grad:
            zeros = zeros + other.flatten()[:0].sum().to(zeros)
    return zeros


def _widened(x: Tensor, width: int) -> Tensor:
    return pad(x, (0, width - x.shape[-1])) if x.shape[-1] < width else x


def _rotate(x: Tensor, position: Tensor, angles: Tables, spectrum: Spectrum) -> Tensor:
    """`rotate_by`, without a copy where the rotation is none: a cache of many keys is read in place."""
    return x if spectrum.gain == 1.0 and not position.any() else rotate_by(x, angles, spectrum.layout)
