"""The softmax of one span's scores, through flash tiles: of all pairs, or of a band of them."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from longspan.compute.inputs import Inputs, residual
from longspan.compute.kernels.cpu import fitting, halvings
from longspan.compute.rotate import Tables, decay_span, rotate, rotate_by, tables
from longspan.compute.tiling import toeplitz
from longspan.compute.tiling.lowering import Cut, Span, View, count_visible, lower, with_common_views
from longspan.compute.tiling.spans import Patch
from longspan.compute.tiling.tiles import TiledAttention
from longspan.slots import EVERYWHERE, Band, ScoreBias, Spectrum


@dataclass(frozen=True, eq=False)
class SpanSoftmax:
    """One span's content, ready for tiles.

    Arguments:
        inputs: the call that the span is part of.
        span: where its tokens stand.
        query, key, value: normalized, not yet turned; queries carry the part of the scale that is not `scale`.
        query_at, key_at: coordinates, (batch or 1, places, axes).
        scale: the number that the kernel multiplies scores with.
        strip: rows of a masked strip in the forward pass; None: no masked tiles.
    """

    inputs: Inputs
    span: Span
    query: Tensor
    key: Tensor
    value: Tensor
    query_at: Tensor
    key_at: Tensor
    scale: float
    strip: int | None
    _turned: dict[View, tuple[Tensor, Tensor]] = field(default_factory=dict)

    @classmethod
    def of(cls, x: Inputs, patch: Patch, strip: int | None) -> "SpanSoftmax":
        """What stands in one patch of a call."""
        span, norm = patch.span, x.scheme.qk_norm
        query = patch.queries.of(x.query[patch.rows])
        key, value = (patch.keys.of(t[patch.rows]) for t in (x.key, x.value))
        if norm:
            query, key = norm.query(query, x.weights_of(norm)), norm.key(key, x.weights_of(norm))
        factor, scale = x.scheme.split_scale(count_visible(x.scheme, span, query.device), x.base_scale, x.weights)
        if isinstance(factor, Tensor):
            query = query * factor[..., None].to(query.dtype)
        elif factor != 1.0:
            query = query * factor
        at = [
            places.coordinate[patch.rows if len(places.order) > 1 else slice(0, 1), tokens.index]
            for places, tokens in ((x.queries, patch.queries), (x.keys, patch.keys))
        ]
        return cls(x, span, query, key, value, at[0], at[1], scale, strip)

    def attend(
        self,
        within: Band = EVERYWHERE,
        *,
        order: float = 1.0,
        added: Float[Tensor, "heads diagonals"] | None = None,
        logit: Float[Tensor, " heads"] | None = None,
    ) -> tuple[Float[Tensor, "batch heads queries value_dim"], Float[Tensor, "batch heads queries"]]:
        """Output and log-sum-exp of the softmax of order · scores + added over the pairs within a band.

        A row without any gives zeros and −inf. `logit` is the score of one more key without a value.
        """
        x, scheme = self.inputs, self.inputs.scheme
        biased = added is not None or isinstance(scheme.bias, ScoreBias)
        spectrum = scheme.rotation.spectrum(x.query.shape[-1])
        asked = decay_span(spectrum, x.query.dtype, x.key.shape[2]), within, biased
        halved = halvings(self.query.shape[0], self.query.shape[1], self.query.device)
        forward = lower(scheme, self.span, Cut(self.strip, halvings=halved), *asked)
        backward = lower(scheme, self.span, Cut(None, halvings=halved), *asked) if torch.is_grad_enabled() else forward
        width = self.value.shape[-1]
        if not forward.tiles:
            return nothing(self.query, width), self.query.new_full(self.query.shape[:3], -torch.inf, dtype=self.dtype)
        forward, backward = with_common_views(forward, backward)
        # The kernel wants values as wide as queries: zeros change no score and no output.
        wide = fitting(max(self.query.shape[-1], width), self.query.device)
        turned = [_widened(t, wide) for view in forward.views for t in self._at(view)]
        diagonal = self._diagonal(order, added)
        value = _widened(self.value, wide)
        out, lse = TiledAttention.apply(forward, backward, self.scale * order, value, diagonal, logit, *turned)  # pyright: ignore[reportGeneralTypeIssues]
        return out[..., :width], lse

    @property
    def dtype(self) -> torch.dtype:
        """Of log-sum-exps and biases: float32 at least."""
        return torch.promote_types(self.query.dtype, torch.float32)

    def _diagonal(self, order: float, added: Tensor | None) -> Tensor | None:
        bias = self.inputs.scheme.bias
        if not isinstance(bias, ScoreBias):
            return added
        heads, weights = self.query.shape[1], self.inputs.weights_of(bias)
        diagonal = toeplitz.diagonals(bias, self.span, heads, weights, self.dtype, self.query.device)
        diagonal = diagonal if order == 1 else diagonal * order
        return diagonal if added is None else diagonal + added

    def _at(self, view: View) -> tuple[Tensor, Tensor]:
        if view not in self._turned:
            self._turned[view] = self._turn(view)
        return self._turned[view]

    def _turn(self, view: View) -> tuple[Tensor, Tensor]:
        """The view's own queries and keys, turned to where its branch says they stand."""
        x = self.inputs
        branch = x.scheme.distance.branches()[view.branch]
        spectrum = view.rotation.spectrum(self.query.shape[-1])
        rows, keys = slice(*view.rows), slice(*view.keys)
        query_at, key_at = self.query_at[:, rows], self.key_at[:, keys]
        query, key = self.query[:, :, rows], self.key[:, :, keys]
        said = branch.query(query_at)
        a, at_query = residual(said, query_at, x.query_frame, spectrum)
        c, at_key = residual(branch.key(key_at), key_at, x.key_frame, spectrum)
        if view.origin is not None:
            shrunk = torch.maximum(a - view.origin, a - said)[..., 0]
            return rotate(query, a, at_query, shrunk), rotate(key, c, at_key, view.origin - c[..., 0])
        if not spectrum.rotary_dim:
            return query, key
        same = a.shape == c.shape and at_query.gain == at_key.gain and torch.equal(a, c)
        angles = tables(a, at_query)
        return _turn(query, a, angles, at_query), _turn(key, c, angles if same else tables(c, at_key), at_key)


def nothing(query: Tensor, width: int) -> Tensor:
    """Zeros that are part of the graph, whatever stands in the padding."""
    everywhere = torch.ones((), dtype=torch.bool, device=query.device)
    return query.masked_fill(everywhere, 0.0).sum(-1, keepdim=True).repeat(1, 1, 1, width)


def _widened(x: Tensor, width: int) -> Tensor:
    return pad(x, (0, width - x.shape[-1])) if x.shape[-1] < width else x


def _turn(x: Tensor, place: Tensor, angles: Tables, spectrum: Spectrum) -> Tensor:
    """`rotate_by`, but no copy of what stands still: a cache of many keys is read where it lies."""
    return x if spectrum.gain == 1.0 and not place.any() else rotate_by(x, angles, spectrum.layout)
