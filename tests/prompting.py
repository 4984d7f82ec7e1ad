"""Tokenizers of every sort, texts, and one example of a task: what tests of prompts share."""

from functools import cache
from typing import Any

from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from longspan.prompts.example import PromptExample
from longspan.prompts.filler import NOISE
from longspan.prompts.task import PromptTask
from longspan.task import Material, Task, tasks
from tiny import bytes_tokenizer, prose, words_tokenizer

TEXT = prose(4000)
CHINESE = "他说：“下雨了。”我们走吧！谁知道呢？天黑以后，风停了。" * 120
TOKENIZERS = ("words", "words with BOS", "bytes", "BPE", "BPE across spaces")


@cache
def tokenizer(name: str) -> Any:
    """Words, bytes, merges inside words, and merges over whole texts."""
    if name == "bytes":
        return bytes_tokenizer()
    if name.startswith("BPE"):
        return _bpe(inside_words=name == "BPE")
    return words_tokenizer(opening="BOS" in name)


def _bpe(inside_words: bool) -> PreTrainedTokenizerFast:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=inside_words)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=900, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator([*TEXT.split("."), " ".join(NOISE), " ".join(NOISE) * 2], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made)


def material(name: str, text: str = TEXT) -> Material:
    """A tokenizer with the BOS that it adds, and a text."""
    made = tokenizer(name)
    return Material(made, opening=(1,) if "BOS" in name else (), text=text)


def example(task: PromptTask, length: int = 2000, index: int = 0, name: str = "BPE", text: str = TEXT) -> PromptExample:
    """An example for one of the tokenizers."""
    return task.example(material(name, text), length, str(index))


def examples(task: PromptTask, shortest: int = 1200, text: str = TEXT) -> st.SearchStrategy[PromptExample]:
    """Examples of `shortest` … 1.5 · `shortest` tokens, for all tokenizers."""
    lengths = st.integers(shortest, shortest * 3 // 2)
    names = st.sampled_from(TOKENIZERS)
    return st.builds(lambda n, index, name: example(task, n, index, name, text), lengths, st.integers(0, 999), names)


def between(text: str, before: str, after: str) -> str:
    """What is between the last `before` and the next `after`."""
    return text.rpartition(before)[2].partition(after)[0]


def tasks_of(kind: type[Task[Any]]) -> dict[str, Any]:
    """The classes of all tasks of one kind, by name."""
    return {name: found for name, found in tasks().items() if issubclass(found, kind)}
