"""A dropped rescaling: the config names one, and the model's frequencies show none, or others."""

from collections.abc import Iterator

import torch

from longspan.audit.checkpoint import dotted
from longspan.audit.finding import Finding
from longspan.audit.subject import Subject
from longspan.audit.watching.observation import Rotation
from longspan.errors import LongspanError
from longspan.pretrained.anatomy.config import rope_origin, rope_parameters
from longspan.slots import geometric

SAME = 1e-4
"""Relative difference below which frequencies are the same: transformers computes them in float32."""


def check(subject: Subject) -> Iterator[Finding]:
    """Compare the model's frequencies with plain ones, and with longspan's own computation from the config."""
    if subject.refusal:
        return
    for rotation in subject.observation.rotations:
        yield from _compared(subject, rotation)
    header = subject.checkpoint.gguf
    if header and header.rescales and all(rotation.kind == "default" for rotation in subject.observation.rotations):
        yield Finding(
            check="dropped",
            severity="failure",
            where="rope.scaling in the GGUF header",
            what=f"the header asks for {header.scaling}, and transformers reads the file as a model without it",
            given=f"factor {header.factor:g}",
            do="load the checkpoint that the file was made of, or extend the model with "
            f"--method '{header.scaling}(factor={header.factor:g})'",
        )


def _compared(subject: Subject, rotation: Rotation) -> Iterator[Finding]:
    config = subject.checkpoint.config
    try:
        given = rope_parameters(config, rotation.layer_type)
        own = rope_origin(config, rotation.layer_type).own
    except (LongspanError, KeyError, StopIteration):
        return
    if not given or given.get("rope_theta") is None:
        return
    where = dotted((*subject.checkpoint.text_path, "rope_parameters", *filter(None, [rotation.layer_type])))
    kind, dim = given.get("rope_type", "default"), 2 * len(rotation.frequencies)
    found = torch.tensor(rotation.frequencies, dtype=torch.float64)
    plain = geometric(float(given["rope_theta"]), dim)
    untouched = torch.allclose(found, plain, rtol=SAME, atol=0.0) and rotation.gain == 1.0 and not rotation.changes
    if (
        kind not in ("default", "dynamic")
        and given.get("factor", 2) != 1
        and untouched
        and not _is_plain(own, dim, plain)
    ):
        yield Finding(
            check="dropped",
            severity="failure",
            where=where,
            what=f"it names {kind}, and the model's frequencies are those without a rescaling",
            given=f"factor {given.get('factor')}",
            do="use a version of transformers that rescales this family, or extend the model with longspan",
        )
    elif own is not None:
        wanted = own.segments(1)[0].rotation.frequencies(dim)
        if not torch.allclose(found, wanted, rtol=SAME, atol=0.0):
            off = float((found / wanted).nan_to_num(1.0).log().abs().max().exp())
            yield Finding(
                check="dropped",
                severity="failure",
                where=where,
                what=f"the model's frequencies are not those that {kind} of these numbers gives, by a factor of up to "
                f"{off:.3g}",
                given=", ".join(f"{key} {value}" for key, value in given.items() if isinstance(value, int | float)),
                do="look which of these numbers do nothing, in the list of fields",
            )


def _is_plain(own: object, dim: int, plain: torch.Tensor) -> bool:
    """Whether the rescaling itself changes nothing here."""
    frequencies = getattr(own, "frequencies", None)
    return frequencies is not None and torch.allclose(frequencies(dim), plain, rtol=SAME, atol=0.0)
