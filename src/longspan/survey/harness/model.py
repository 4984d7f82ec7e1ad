"""A model of transformers as lm-evaluation-harness runs it, with prompts that are read whole or refused.

The harness cuts a prompt from the left where it is longer than `max_position_embeddings`, with a line in its log, and
scores what is left. A model that reads beyond that number is then measured on texts that it never saw. Here the length
is said, and a longer prompt is an error.

Source: EleutherAI/lm-evaluation-harness 0.4.13, lm_eval/models/huggingface.py (`tok_batch_encode`,
`_loglikelihood_tokens`).
"""

from collections.abc import Sequence
from copy import copy
from importlib import import_module
from typing import Any

from longspan.errors import InputError
from longspan.measure.corpus.documents import opening


def harness_model(model: Any, tokenizer: Any, length: int | None = None, **options: Any) -> Any:
    """Return an `lm_eval` model, for `lm_eval.simple_evaluate(model=…)`.

    Arguments:
        model: a model of transformers, extended or not.
        tokenizer: its tokenizer; what it puts before every text is put before every prompt.
        length: tokens that a prompt and what is written after it may have; by default what the model's config says,
            which is the longer length where the model is extended.
        options: of `lm_eval.models.huggingface.HFLM`, such as `batch_size=8`.

    A prompt with more tokens is an InputError when it is asked.

    Errors: InputError where lm-evaluation-harness is not installed.
    """
    try:
        base: Any = import_module("lm_eval.models.huggingface").HFLM
    except ImportError as error:
        raise InputError(f"lm-evaluation-harness is missing ({error}): pip install 'longspan[lm-eval]'") from error
    longest = length or model.config.get_text_config(decoder=True).max_position_embeddings
    tokenizer = copy(tokenizer)
    tokenizer.model_max_length = longest  # no warning about prompts that are not too long

    class WholePrompts(base):
        """`HFLM` that cuts nothing."""

        def tok_batch_encode(self, strings: Sequence[str], *given: Any, **more: Any) -> Any:
            """Encode prompts; one that would be cut is refused."""
            most = int(more.get("left_truncate_len") or 0)
            for string in strings if most else ():
                _require(len(self.tok_encode(string)), longest - most, longest)
            return super().tok_batch_encode(strings, *given, **more)

        def _loglikelihood_tokens(
            self, requests: Sequence[tuple[Any, list[int], list[int]]], *given: Any, **more: Any
        ) -> Any:
            """Score continuations; one whose context would be cut is refused. The last token is not read."""
            for _, context, continuation in requests:
                _require(len(context), len(continuation) - 1, longest)
            return super()._loglikelihood_tokens(requests, *given, **more)

    return WholePrompts(
        pretrained=model, tokenizer=tokenizer, max_length=longest, add_bos_token=bool(opening(tokenizer)), **options
    )


def _require(tokens: int, after: int, longest: int) -> None:
    """Refuse what does not fit."""
    if tokens + after > longest:
        raise InputError(
            f"a prompt of {tokens} tokens with {after} after it is longer than the {longest} that this model was "
            "given: extend it to more, or give harness_model a longer length"
        )
