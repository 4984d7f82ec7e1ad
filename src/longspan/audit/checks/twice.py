"""A rescaling that is applied twice: on frequencies that are rescaled already, or on scores that are."""

from collections.abc import Iterator

from longspan.audit.checkpoint import dotted
from longspan.audit.finding import Finding
from longspan.audit.subject import Subject
from longspan.errors import shown

USUAL_BASES = (10_000.0, 500_000.0, 1_000_000.0)
"""Bases that models are trained with."""
NEAR = 1e-3
"""Relative difference below which a base is the one that NTK-aware rescaling of a usual base gives."""
KINDS = ("linear", "dynamic", "yarn", "longrope", "llama3")


def check(subject: Subject) -> Iterator[Finding]:
    """Look for factors in a GGUF file beside a scaling, for a base that holds the factor, and for two temperatures."""
    header = subject.checkpoint.gguf
    if header and header.rescales and header.factors:
        yield Finding(
            check="twice",
            severity="failure",
            where=", ".join(header.factors),
            what=f"the file holds factors on its frequencies, and its header asks for {header.scaling} on top of them: "
            "llama.cpp applies both",
            given=f"rope.scaling.factor {header.factor:g}",
            do="convert the checkpoint again without a rope scaling in the header, or pass --rope-scaling none",
        )
    for path, given in subject.checkpoint.rope_sets():
        kind, factor, theta = given.get("rope_type", given.get("type")), given.get("factor"), given.get("rope_theta")
        if theta is None:
            level = path[: len(subject.checkpoint.text_path)]
            theta = subject.checkpoint.value((*level, "rope_theta"))
        if kind not in KINDS:
            continue
        if given.get("mscale_all_dim") and not given.get("mscale") and given.get("attention_factor") is None:
            yield from _two_temperatures(subject, dotted((*path, "mscale_all_dim")), given["mscale_all_dim"])
        if isinstance(factor, int | float) and factor > 1 and isinstance(theta, int | float):
            yield from _in_the_base(subject, dotted((*path, "factor")), float(factor), float(theta))


def _two_temperatures(subject: Subject, where: str, given: object) -> Iterator[Finding]:
    """YaRN's temperature on cosine and sine and, by DeepSeek's attention, on the softmax as well."""
    if subject.refusal:
        return
    scores = [layer for layer in subject.observation.layers if layer.scaling and layer.head_dim]
    warmer = [layer for layer in scores if (layer.scaling or 0) * layer.head_dim**0.5 > 1 + 1e-6]
    gains = {rotation.gain for rotation in subject.observation.rotations if rotation.gain > 1}
    if warmer and gains:
        yield Finding(
            check="twice",
            severity="failure",
            where=where,
            what=f"without mscale, YaRN multiplies cosine and sine by {max(gains):.4g}, and the attention of this "
            "family multiplies its scores by its own temperature as well",
            given=shown(given),
            do="write mscale with the same value",
        )


def _in_the_base(subject: Subject, where: str, factor: float, theta: float) -> Iterator[Finding]:
    """NTK-aware rescaling raises the base to θ s^(d/(d−2)); a factor on top of that rescales again."""
    if subject.refusal:
        return
    for dim in {2 * len(rotation.frequencies) for rotation in subject.observation.rotations}:
        if dim <= 2:
            continue
        for base in USUAL_BASES:
            if abs(theta / (base * factor ** (dim / (dim - 2))) - 1) < NEAR:
                yield Finding(
                    check="twice",
                    severity="failure",
                    where=where,
                    what=f"rope_theta is {base:g} · {factor:g}^(d/(d−2)), the NTK-aware rescaling by the same factor: "
                    "frequencies that are rescaled already are rescaled again",
                    given=f"factor {factor:g}, rope_theta {theta:g}",
                    do=f"set rope_theta to {base:g}, or remove the factor",
                )
