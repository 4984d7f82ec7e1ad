"""A rescaling without the length it starts from: transformers takes max_position_embeddings, raised or not."""

from collections.abc import Iterator

from longspan.audit.checkpoint import dotted
from longspan.audit.finding import Finding
from longspan.audit.subject import Subject
from longspan.pretrained.anatomy.config import FROM_ORIGINAL, ORIGINAL

PROMISED = "max_position_embeddings"


def check(subject: Subject) -> Iterator[Finding]:
    """Report rescalings whose original length is missing, or is the promised length itself."""
    checkpoint = subject.checkpoint
    if checkpoint.gguf:
        return
    for path, given in checkpoint.rope_sets():
        kind, factor = given.get("rope_type", given.get("type")), given.get("factor")
        level = checkpoint.level_of(path)
        promised = checkpoint.value((*level, PROMISED))
        if promised is None and not subject.refusal:
            promised = getattr(checkpoint.text, PROMISED, None)
        beside = None if checkpoint.layer_type_of((*path, ORIGINAL)) else checkpoint.value((*level, ORIGINAL))
        stated = beside or given.get(ORIGINAL)
        if kind not in FROM_ORIGINAL or factor == 1:
            continue
        if stated is None:
            yield Finding(
                check="original_length",
                severity="failure",
                where=dotted((*path, ORIGINAL)),
                what=f"it is missing, so {kind} takes {PROMISED} = {promised} for the length before the rescaling; "
                "where that was raised already, the frequencies are wrong and no warning is given",
                given="",
                do=f"write the length that the model was trained on before {kind}: {_choices(promised, factor)}",
            )
        elif stated == promised and isinstance(factor, int | float) and factor > 1:
            yield Finding(
                check="original_length",
                severity="warning",
                where=dotted((*path, ORIGINAL)),
                what=f"it equals {PROMISED}, although {kind} rescales by {factor:g}: either the promised length was "
                "not raised, or the original length was taken from a raised one",
                given=str(stated),
                do=f"raise {PROMISED} to {round(stated * factor)}, or correct the original length",
            )


def _choices(promised: object, factor: object) -> str:
    """The two lengths that it can be."""
    if isinstance(promised, int) and isinstance(factor, int | float) and factor > 0:
        return f"{round(promised / factor)} if {PROMISED} was raised by the factor, {promised} if it was not raised"
    return "the number on its card"
