"""What `longspan extend` chooses from a table's cells: the library's own plan, race and decision, without a model.

A plan is made at the pace of the table's plain model. The first eight documents of an order are judged on and the next
ones raced on, as the command does. Where a race reads shorter texts, it is given the readings of whole ones at the
price of the shorter ones, as the rule of 2026 is. The text of twice the trained length that decides who races was
measured (results/twice).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
from rules import JUDGED, Choice
from table import PLAIN, TRUNCATION, Table
from transformers import LlamaConfig

from longspan.errors import LongspanError
from longspan.grid.pace import Pace
from longspan.measure.corpus.documents import Document
from longspan.measure.reading.feeding import tail_length
from longspan.measure.statistics.racing import Race, Score
from longspan.pretrained.storing.runtimes import runtime_flags
from longspan.study.decision import Field, Scores, decide, leader, plain_is_decided
from longspan.study.planning.budget import plan_within
from longspan.study.planning.cells import measurements
from longspan.study.planning.division import RACE_DOCUMENTS
from longspan.study.planning.plan import StudyPlan
from longspan.study.planning.subject import Subject
from longspan.study.race import entrants, finalists
from longspan.study.summary import few_documents

TOLERANCE = 0.02


@dataclass(frozen=True)
class Extend:
    """`longspan extend` with a budget.

    Arguments:
        table: of one model.
        seconds: the budget.
        twice: the same model, candidates and documents, of which twice the trained length is read.
    """

    table: Table
    seconds: float
    twice: Table

    @property
    def plan(self) -> StudyPlan:
        """What the budget allows; documents are numbers of an order."""
        table = self.table
        subject = Subject(table.name, "float32", "0" * 16, table.trained_length, table.length)
        count = min(len(table.documents), JUDGED + RACE_DOCUMENTS)
        documents = [Document(str(i), 0, table.length, str(i)) for i in range(count)]
        return plan_within(
            self.seconds,
            self.pace,
            subject,
            table.candidates,
            documents[JUDGED:],
            documents[:JUDGED],
            exportable(table),
        )

    @property
    def pace(self) -> Pace:
        """That of the plain model."""
        table = self.table
        tail = tail_length(table.trained_length, table.length)
        pieces = ceil(tail / min(tail, table.trained_length // 8))
        short = table.trained_length, float(table.seconds[0]) / pieces
        return Pace.of(short, (table.length, float(table.seconds[1])))

    def __call__(self, order: Sequence[int], plan: StudyPlan) -> Choice:
        """Race, judge and decide on documents in this order."""
        table, asked = self.table, measurements(plan.entry_cells())
        field = plan.field(TOLERANCE, self._entrants(order[JUDGED + len(plan.race) - 1]) if asked else ())
        while wanted := field.next():
            number = int(wanted[0].document)
            asked += measurements(plan.race_cells(number, [cell.candidate for cell in wanted]))
            for cell in wanted:
                field.add(*cell, _score(table, cell.candidate, order[JUDGED + number]))
        chosen = finalists(field, plan.finalists, plan.exportable, plan.reserved)
        judged, few = [name for name in chosen if name not in table.failed], few_documents(len(plan.judge))
        found = _field(table, plan, judged, order)
        if not few and not plain_is_decided(found):
            plan = replace(plan, whole=plan.judge)
            found = _field(table, plan, judged, order)
        asked += measurements(plan.judgement_cells(judged))
        decision = decide(found)
        method = leader(found) if few or decision.advice == "none" else decision.winner or decision.advice
        return Choice(method, sum(map(self.pace.seconds, asked)))

    def _entrants(self, document: int) -> tuple[str, ...]:
        """The candidates as a shorter text orders them."""
        entry = Race(self.table.candidates, ["0"], tolerance=TOLERANCE)
        for name in entry.candidates:
            entry.add(name, "0", _score(self.twice, name, self.twice.documents.index(self.table.documents[document])))
        return entrants(entry)


def exportable(table: Table) -> frozenset[str]:
    """The candidates that the flags of some stock runtime express on a Llama with the table's base."""
    (theta,) = {float(found) for name in table.candidates for found in re.findall(r"theta=([\d.]+)", name)}
    config = LlamaConfig(
        hidden_size=256,
        num_attention_heads=4,
        max_position_embeddings=table.trained_length,
        rope_parameters={"rope_type": "default", "rope_theta": theta},
    )

    def expressed(name: str) -> bool:
        try:
            return any(each.flags for each in runtime_flags(config, name, table.length))
        except LongspanError:
            return False

    return frozenset(filter(expressed, table.candidates))


def _score(table: Table, name: str, document: int) -> Score | None:
    i = table.row(name), document
    return None if np.isnan(table.half[i]) else Score(*(float(a[i]) for a in (table.half, table.facts, table.price)))


def _field(table: Table, plan: StudyPlan, judged: Sequence[str], order: Sequence[int]) -> Field:
    """The scores of the judged documents; a price counts from the plain model's, which is 0 here."""

    def scores(name: str, count: int) -> Scores:
        at = table.row(name), list(order[:count])
        return Scores(table.loss[at].tolist(), table.price[at].tolist(), table.facts[at].tolist())

    whole, count = len(plan.whole), len(plan.judge)
    methods = {name: scores(name, count if place < plan.finalists else whole) for place, name in enumerate(judged)}
    plain = replace(scores(PLAIN, whole), short=[0.0] * count)
    in_order = {name: methods[name] for name in table.candidates if name in methods}
    return Field(in_order, plain, scores(TRUNCATION, count), plan.exportable, TOLERANCE)
