"""Frequencies that change with the length of the call, while cached keys keep the rotation that they were given."""

import inspect
from collections.abc import Iterator

from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from longspan.audit.finding import Finding
from longspan.audit.subject import Subject


def check(subject: Subject) -> Iterator[Finding]:
    """Report rotary modules whose frequencies depend on the length: dynamic NTK, and LongRoPE with two lists."""
    if subject.refusal:
        return
    for rotation in subject.observation.rotations:
        if not rotation.changes:
            continue
        start = next(rotation.first_changes())
        beyond = subject.length is None or subject.length >= start
        again = "longrope" in rotation.kind and _reads_again(subject)
        first = f"a call of {start} tokens rotates otherwise than one of {start - 1}"
        yield Finding(
            check="changing",
            severity="warning" if again else "failure" if beyond else "note",
            where=rotation.name,
            what=f"{rotation.kind} changes all frequencies with the length of the call, and keys in a cache keep the "
            f"old ones: {first}" + ("; generate() of this family reads the text again there" if again else ""),
            given=rotation.kind,
            do="extend the model with a fixed rotation such as --method yarn, or with longspan's "
            + ("longrope" if rotation.kind == "longrope" else "dynamic_ntk")
            + ", which gives each row the frequencies of its own length",
        )


def _reads_again(subject: Subject) -> bool:
    """Whether the family drops its cache where the frequencies change, when it generates."""
    made = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(subject.checkpoint.config), None)
    prepare = getattr(made, "prepare_inputs_for_generation", None)
    return prepare is not None and "original_max_position_embeddings" in inspect.getsource(prepare)
