"""Outside arc: the share of rotary angles that the model never saw in training.

    pair p saw the angles 0 … f_p (L − 1) of distances 0 … L − 1; all of them where that is a whole turn
    outside:  f_p (L − 1) < 2π  and  f'_p · |mapped distance| > f_p (L − 1)

f are the model's own frequencies, f' those of the method. Interpolation keeps every angle inside and pays with
resolution; plain RoPE leaves the arc as soon as the text is longer than the trained length.

Source: Su 2023, kexue.fm/archives/9675 and 9706 (untrained angles of the slow pairs); Peng et al. 2023, YaRN,
arXiv:2309.00071, section 3.2.
"""

from dataclasses import dataclass
from math import tau
from typing import Any

import torch
from torch import Tensor

from longspan.measure.diagnostic import OfQueries, Subject
from longspan.measure.watching import Rows

SLACK = 2e-6
"""Relative rounding that is no step outside: a model holds its frequencies in float32."""


@dataclass(frozen=True)
class OutsideArc(OfQueries):
    """Share of the angles between a query and the keys it sees, over all pairs of channels that rotate."""

    unit = "share"

    def look(self, subject: Subject) -> dict[str, Any]:
        """Return the mean over layers and the last eighth of the queries, that of each layer, and bins."""
        _ = subject.frequencies  # found before the model is watched: finding them attaches another scheme
        return super().look(subject)

    def of(self, rows: Rows, subject: Subject) -> Tensor:
        """Return the share of each row, the same for all heads; 0 for a layer that does not rotate."""
        x, seen = rows.inputs, rows.exists[0]
        queries, keys = x.queries.coordinate[0, :, 0], x.keys.coordinate[0, :, 0]
        head_dim = x.query.shape[-1]
        rotating = x.scheme.rotation.spectrum(head_dim).rotary_dim
        if not rotating:
            return torch.zeros(1, len(queries))
        trained = subject.frequencies[rows.layer].to(seen.device) * (subject.trained_length - 1)
        distances = x.scheme.distance(queries[:, None], keys[None])
        sections = distances if x.scheme.distance.by_section else distances[..., None]
        section = torch.arange(len(trained), device=seen.device) * sections.shape[-1] // len(trained)
        outside = torch.zeros(len(queries), dtype=torch.float64, device=seen.device)
        for segment in x.scheme.rotation.segments(int(queries.max()) + 1):
            inside = (queries >= segment.start) & (queries < segment.stop)
            now = segment.rotation.frequencies(rotating).to(seen.device)
            for pair in ((trained < tau) & (now > 0)).nonzero()[:, 0].tolist():
                far = now[pair] * sections[..., section[pair]].abs() > trained[pair] * (1 + SLACK)
                outside += inside * (far & seen).sum(-1)
        return (outside / (seen.sum(-1) * len(trained)))[None]
