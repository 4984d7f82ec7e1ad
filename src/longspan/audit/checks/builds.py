"""A config that transformers makes no model of: an unknown rope_type, a missing number, a value of a wrong type."""

from collections.abc import Iterator

from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from longspan.audit.checkpoint import dotted
from longspan.audit.finding import Finding
from longspan.audit.subject import Subject
from longspan.errors import nearest, shown

KNOWN = ("default", *ROPE_INIT_FUNCTIONS)


def check(subject: Subject) -> Iterator[Finding]:
    """Name the rope_type that transformers does not know, or else repeat its error."""
    unknown = list(_unknown(subject))
    yield from unknown
    if subject.refusal and not unknown:
        yield Finding("builds", "failure", "config", subject.refusal, "", "correct the field that the error names")


def _unknown(subject: Subject) -> Iterator[Finding]:
    for path, given in subject.checkpoint.rope_sets():
        for key in ("rope_type", "type"):
            kind = given.get(key)
            if (
                kind is None
                or kind in KNOWN
                or (key == "type" and "rope_type" in given)
                or _means_something(subject, kind)
            ):
                continue
            near = nearest(kind, KNOWN) if isinstance(kind, str) else ""
            yield Finding(
                check="builds",
                severity="failure",
                where=dotted((*path, key)),
                what="the installed transformers knows no such kind of rotation",
                given=shown(kind),
                do=f"write one of {', '.join(sorted(KNOWN))}{near}",
            )


def _means_something(subject: Subject, kind: object) -> bool:
    """Whether the family defines this kind itself: its module then has it, and was built."""
    if subject.refusal or not isinstance(kind, str):
        return False
    return any(rotation.kind == kind for rotation in subject.observation.rotations) or kind == "mrope"
