"""What speaks against a study whatever its numbers say."""

from math import log

import pytest

from longspan.study.doubts import Doubts, doubts


@pytest.mark.parametrize("files", [8, 11])
def test_a_model_that_predicts_and_texts_of_several_files_raise_none(files: int) -> None:
    assert doubts(log(100) - 0.01, "truncation", 100, 8, files) == Doubts()


def test_worse_than_guessing_is_an_obstacle() -> None:
    found = doubts(log(100) + 0.01, "truncation", 100, 8, 8)
    assert found.obstacle == "truncation predicts these texts worse than equal chances for all 100 tokens would"
    assert found.warnings == (
        "Truncation predicts these texts worse than equal chances for all 100 tokens would (loss 4.62, ln 100 = 4.61 "
        "nats per token): texts, tokenizer and model may not belong together.",
    )


def test_parts_of_one_file_are_an_obstacle_and_of_few_files_a_warning() -> None:
    one, few = doubts(1.0, "truncation", 100, 8, 1), doubts(1.0, "truncation", 100, 8, 3)
    assert one.obstacle == "all 8 documents are parts of one file"
    assert len(one.warnings) == 1
    assert few.obstacle is None
    assert few.warnings == (
        "The 8 judged documents are parts of 3 files, which resemble each other: intervals may be too narrow.",
    )
    assert doubts(1.0, "truncation", 100, 1, 1) == Doubts()


def test_all_obstacles_are_named() -> None:
    found = doubts(9.0, "truncation", 100, 8, 1)
    assert found.obstacle is not None
    assert found.obstacle.endswith(" tokens would and all 8 documents are parts of one file")
    assert len(found.warnings) == 2
