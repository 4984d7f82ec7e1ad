"""Documents of the race are never parts of judged files where there are others."""

from longspan.measure.corpus.documents import Document, Library
from longspan.study.planning.division import FEW, RACE_DOCUMENTS, divide


def library(files: int, parts: int = 1) -> Library:
    """As `longspan.measure.corpus.documents.library` orders them: the first part of every file, then the second …"""
    found = [
        Document(f"{file}.txt", 256 * part, 256, f"{file}/{part}") for part in range(parts) for file in range(files)
    ]
    return Library(tuple(found), files, ())


def test_the_judged_documents_stay_whatever_the_race_reads() -> None:
    for files in (9, 11, 16, 30):
        assert divide(library(files), 8, 256, True).judge == library(files).documents[:8]


def test_a_race_reads_other_files() -> None:
    found = divide(library(30), 8, 256, True)
    assert len(found.race) == RACE_DOCUMENTS
    assert not {each.path for each in found.judge} & {each.path for each in found.race}
    few = divide(library(11, parts=2), 8, 256, True)
    assert [each.path for each in few.race] == ["8.txt", "9.txt", "10.txt"]
    assert (few.files, few.judged_files) == (11, 8)


def test_parts_of_judged_files_are_raced_where_there_are_no_others() -> None:
    found = divide(library(8, parts=2), 8, 256, True)
    assert len(found.race) == FEW
    assert found.judged_files == 8
    one = divide(library(1, parts=11), 8, 256, True)
    assert (one.judged_files, len(one.race)) == (1, FEW)
