"""One known silent mistake, one file: each defines `check(subject)`, which yields findings.

The folder is the registry. The first line of a file's docstring says what the mistake is.
"""

from collections.abc import Callable, Iterator

from longspan.audit.finding import Finding
from longspan.audit.subject import Subject
from longspan.registry import modules

Check = Callable[[Subject], Iterator[Finding]]


def checks() -> dict[str, Check]:
    """All checks by name, in alphabetical order."""
    return {module.__name__.rpartition(".")[2]: module.check for module in modules(__name__)}


def findings(subject: Subject) -> tuple[Finding, ...]:
    """What all checks find, failures first.

    A config that transformers makes no model of is looked at by the checks that need none.
    """
    order = ("failure", "warning", "note")
    found = [finding for check in checks().values() for finding in check(subject)]
    return tuple(sorted(dict.fromkeys(found), key=lambda finding: order.index(finding.severity)))
