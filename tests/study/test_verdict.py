"""A verdict is read as it was written; older summaries, which have none, get the one that they imply."""

import json

from hypothesis import given
from hypothesis import strategies as st

from longspan.study.contrast import Contrast
from longspan.study.summary import Summary
from longspan.study.verdict import Tie, Verdict
from report.summaries import nothing, summary
from study.test_contrast import ESTIMATES

NAMES = st.sampled_from(["yarn", "dual_chunk", "rerope(window=4) + log_length"])
VERDICTS = st.builds(
    Verdict,
    st.sampled_from(["method", "plain", "truncation", "none"]),
    st.none() | st.just("1 document was judged"),
    st.none() | st.sampled_from(["cost", "exportable", "simplicity"]),
    st.lists(st.builds(Tie, NAMES, ESTIMATES, st.booleans())).map(tuple),
    st.lists(NAMES).map(tuple),
    st.none() | NAMES,
)


@given(VERDICTS)
def test_json_is_read_back(verdict: Verdict) -> None:
    assert Verdict.of(json.loads(json.dumps(verdict.json(), allow_nan=False))) == verdict


def test_an_older_summary_implies_a_verdict() -> None:
    assert Summary.of(summary()).verdict == Verdict("method")
    assert Summary.of(nothing()).verdict == Verdict("truncation")
    few = summary(winner=None, judged=False)
    assert Summary.of(few).verdict == Verdict("none", "the plain model failed")
    few["setting"]["documents"] = ["one.txt"]
    assert Summary.of(few).verdict == Verdict("none", "1 document was judged, at least 8 are needed")


def test_an_older_row_is_compared_with_truncation_by_its_assessment() -> None:
    row = Summary.of(summary()).row("rerope(window=256)")
    assert row is not None
    assert row.assessment is not None
    assert row.contrast("truncation") == Contrast(row.assessment.gain, row.assessment.retrieval, row.assessment.price)
    assert row.contrast("plain") is None
