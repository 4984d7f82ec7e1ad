"""Plans and records that no model made."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from longspan.grid.pace import Pace
from longspan.measure.corpus.documents import Document
from longspan.measure.measurement import Measurement
from longspan.measure.reading.loss import BINS
from longspan.study.planning.budget import plan_within
from longspan.study.planning.cells import Cell
from longspan.study.planning.plan import StudyPlan
from longspan.study.planning.subject import Subject
from longspan.study.race import Heats
from longspan.study.results import Results
from longspan.study.summary import Race, Setting

PACE = Pace(0.01, 1e-6)


@st.composite
def plans(draw: st.DrawFn) -> StudyPlan:
    """Any number of candidates and documents, any lengths, within the trained length too, any budget."""
    trained = draw(st.integers(16, 600))
    length = draw(st.integers(trained + 1, 12 * trained) | st.integers(16, trained))
    subject = Subject("m", "float32", "0" * 16, trained, length)
    documents = tuple(Document(f"{i}.txt", 0, subject.length, str(i)) for i in range(17))
    judged, raced = draw(st.integers(1, 9)), draw(st.integers(1, 8))
    methods = tuple(f"rerope(window={w})" for w in range(draw(st.integers(1, 13))))
    budget = draw(st.floats(0.1, 100_000))
    stock = draw(st.sets(st.sampled_from(methods)))
    follows = draw(st.booleans())
    return plan_within(budget, PACE, subject, methods, documents[9 : 9 + raced], documents[:judged], stock, follows)


def record(asked: Measurement) -> dict[str, Any]:
    """What a measurement may say: numbers that depend on its arguments, of whatever its kind gives."""
    number = int(asked.key, 16) % 1000 / 1000
    distances = (asked.trained_length // 2, asked.trained_length + 1)
    questions = [{"depth": 0.5, "distance": each, "right": number > 0.5, "scores": []} for each in distances]
    answers = {"right": sum(each["right"] for each in questions), "asked": len(questions), "questions": questions}
    by_position = {"short": number, "second_half": number, "positions": [number] * BINS}
    result = {
        "reading": {"loss": number, **by_position, **answers},
        "context": {"loss": number},
        "retrieval": answers,
        "truncation": {"loss": number, **answers},
        "short": {"short": number},
    }[asked.kind]
    return {"key": asked.key, "result": result, "seconds": 1.0, "peak_bytes": 1}


def raced(plan: StudyPlan, make: Callable[[list[Cell]], Results] | None = None) -> Race:
    """Run the race of a plan to its end."""
    heats = Heats(plan, 0.02)
    while cells := heats.next():
        heats.add(make(cells) if make else Results(cells, record))
    return heats.summary()


def setting(plan: StudyPlan) -> Setting:
    subject = plan.subject
    return Setting(
        model=subject.model,
        trained_length=subject.trained_length,
        length=subject.length,
        dtype=subject.dtype,
        fingerprint=subject.fingerprint,
        tail=subject.tail,
        contexts=tuple(subject.contexts()),
        dropped=(),
        files=12,
        seed=0,
        hardware="none",
        versions={"python": "3"},
        command="longspan extend",
        tolerance=0.02,
        documents=tuple(document.name for document in plan.judge),
        digests=tuple(document.digest for document in plan.judge),
    )
