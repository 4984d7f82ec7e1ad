"""How lm-evaluation-harness scores our tasks: by our own rules, which its task files name.

Its own `string_match_part` of RULER divides by the number of references, so that one right answer of three gives 0.33
where NVIDIA's gives 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from longspan.errors import InputError
from longspan.prompts import scoring
from longspan.prompts.scoring import Scoring


def written(rule: Scoring) -> dict[str, Any]:
    """Return a rule as JSON."""
    return {"rule": type(rule).__name__, **(asdict(rule) if hasattr(rule, "__dataclass_fields__") else {})}


def read(rule: Mapping[str, Any]) -> Scoring:
    """Return the rule that `written` wrote.

    Errors: InputError for an unknown one.
    """
    settings = dict(rule)
    kind = getattr(scoring, str(settings.pop("rule")), None)
    if not (isinstance(kind, type) and issubclass(kind, Scoring)):
        raise InputError(f"no rule of scoring {rule['rule']!r}: write the task files again")
    return kind(**{name: tuple(value) for name, value in settings.items() if value is not None})


def process_results(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Return the score of what a model wrote, 0 … 1; task files name this function.

    Arguments:
        doc: a line of a task's file.
        results: what the model wrote, one text.
    """
    return {"score": read(doc["scoring"]).score(results[0], doc["outputs"])}
