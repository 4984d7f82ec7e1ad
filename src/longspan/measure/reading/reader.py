"""Reader: a causal language model as measurements use it: hidden states, a cache, and the logits of few positions.

Logits of all positions at once are never made: they would be positions × vocabulary numbers. Hidden states go through
the output head slice by slice, with what the model itself does to its logits afterwards (Gemma's softcap, Cohere's and
Granite's scale); that this is all it does is checked once per model against the model's own logits.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from longspan.errors import InputError, RefusalError
from longspan.measure.hardware.memory import device_of
from longspan.pretrained.running.reserved import reserve
from longspan.pretrained.running.rotary import Source, rotary_modules
from longspan.pretrained.storing.checkpoint import refusing

SLICE_BYTES = 64 * 2**20
"""Bytes of the logits held at once, as float32."""

WHOLE = 8192
"""Tokens of the longest text that is read with a cache in one forward pass; a longer one is read in chunks."""

CHUNK = 1024
"""Tokens of a chunk: the mask that a model's own attention makes for it has so many rows."""


class Reader:
    """A model that reads token ids.

    Errors: RefusalError where the model fails on its first tokens, or its logits are not what its head makes of its
    hidden states; InputError for a token id that the model does not have.
    """

    @refusing("the model fails on its first tokens")
    def __init__(self, model: Any) -> None:
        self.model = model.eval()
        self.body = model.base_model
        self.head = model.get_output_embeddings()
        config = model.config.get_text_config()
        self.softcap: float | None = getattr(config, "final_logit_softcapping", None)
        self.factor = float(getattr(config, "logit_scale", None) or 1.0)
        self.factor /= float(getattr(config, "logits_scaling", None) or 1.0)
        self.vocabulary = int(self.head.weight.shape[0])
        self.num_embeddings = int(model.get_input_embeddings().weight.shape[0])
        self._check_head()

    @property
    def device(self) -> torch.device:
        """The device that token ids go to."""
        return device_of(self.model)

    def ids(self, *rows: Sequence[int]) -> Int[Tensor, "rows positions"]:
        """Return token ids as the model takes them."""
        ids = torch.tensor(rows, device=self.device)
        if ids.numel() and int(ids.max()) >= self.num_embeddings:
            raise InputError(
                f"the tokenizer gives token {int(ids.max())} and the model has {self.num_embeddings} tokens: "
                "they do not belong together; give the model with its own tokenizer"
            )
        return ids

    @torch.no_grad()
    def hidden(self, ids: Int[Tensor, "rows positions"]) -> Float[Tensor, "rows positions width"]:
        """Return the hidden states that the head reads, of rows read at once and without a cache."""
        return self.body(input_ids=ids, use_cache=False).last_hidden_state

    @torch.no_grad()
    def read(
        self, ids: Int[Tensor, "rows positions"], last: int | None = None
    ) -> tuple[Float[Tensor, "rows last width"], Any]:
        """Return hidden states as `hidden` does, and the cache of the text, with room for what is read after it.

        A long text is read in chunks, where that gives the same: what one layer makes of all tokens at once takes more
        memory than their keys and values in many layers.

        Arguments:
            last: of how many last tokens hidden states are wanted; None for all.
        """
        length, fixed = ids.shape[1], self.shared_length()
        size = CHUNK if length > WHOLE and (fixed is None or length <= fixed) else max(1, length)
        first = 0 if last is None else max(0, length - last)
        output = self.body(input_ids=ids[:, :size], use_cache=True)
        hidden, cache = output.last_hidden_state, output.past_key_values
        reserve(cache, length)
        if size >= length:
            return hidden[:, first:].clone() if first else hidden, cache
        kept = hidden.new_empty(len(ids), length - first, hidden.shape[-1])
        for start in range(0, length, size):
            if start:
                hidden, cache = self.append(cache, ids[:, start : start + size])
            skipped = max(0, first - start)
            kept[:, start + skipped - first : max(0, start + hidden.shape[1] - first)] = hidden[:, skipped:]
        return kept, cache

    @torch.no_grad()
    def append(
        self, cache: Any, ids: Int[Tensor, "rows positions"]
    ) -> tuple[Float[Tensor, "rows positions width"], Any]:
        """Return hidden states of what follows a cached text, and the cache of both; the cache given is used up."""
        output = self.body(input_ids=ids, past_key_values=cache, use_cache=True)
        return output.last_hidden_state, output.past_key_values

    @torch.no_grad()
    def after(self, cache: Any, ids: Int[Tensor, "rows positions"]) -> Float[Tensor, "rows positions width"]:
        """Return hidden states of what follows a cached text; the cache is left as it was."""
        used = cache if can_crop(cache) else copy.deepcopy(cache)
        hidden = self.body(input_ids=ids, past_key_values=used, use_cache=True).last_hidden_state
        if used is cache:
            cache.crop(-ids.shape[1])
        return hidden

    def shared_length(self) -> int | None:
        """Return up to how many tokens the keys of a text do not depend on what follows it; None for any number.

        A checkpoint that changes its frequencies with the length of the call (dynamic NTK, LongRoPE) rotates the first
        tokens of a longer text differently; a method of ours, which is defined row by row, never does.
        """
        bounds = [bound for module in rotary_modules(self.model) if (bound := _fixed_up_to(module)) is not None]
        return min(bounds, default=None)

    @torch.no_grad()
    def logits(self, hidden: Float[Tensor, "*positions width"]) -> Float[Tensor, "*positions vocabulary"]:
        """Return logits in float32."""
        logits = self.head(hidden).float() * self.factor
        return logits if self.softcap is None else torch.tanh(logits / self.softcap) * self.softcap

    @torch.no_grad()
    def losses(
        self, hidden: Float[Tensor, "positions width"], targets: Int[Tensor, " positions"]
    ) -> Float[Tensor, " positions"]:
        """Return −ln p of each target given the hidden state before it, nats, in float64; NaN stays NaN."""
        return self.scores(hidden, targets)[0]

    @torch.no_grad()
    def scores(
        self, hidden: Float[Tensor, "positions width"], targets: Int[Tensor, " positions"]
    ) -> tuple[Float[Tensor, " positions"], Bool[Tensor, " positions"]]:
        """Return the `losses` of targets, and whether each is the most likely token; of equal ones the first counts."""
        size = max(1, SLICE_BYTES // (4 * self.vocabulary))
        losses, right = [torch.zeros(0, dtype=torch.float64)], [torch.zeros(0, dtype=torch.bool)]
        for start in range(0, len(targets), size):
            logits, wanted = self.logits(hidden[start : start + size]), targets[start : start + size]
            chosen = logits.gather(1, wanted[:, None])[:, 0]
            losses.append((logits.logsumexp(1) - chosen).cpu().double())
            right.append((logits.argmax(1) == wanted).cpu())
        return torch.cat(losses), torch.cat(right)

    @torch.no_grad()
    def likeliest(
        self, hidden: Float[Tensor, "positions width"]
    ) -> tuple[Int[Tensor, " positions"], Float[Tensor, " positions"]]:
        """Return the most likely token after each hidden state, the first of equal ones, and its ln p, nats."""
        size = max(1, SLICE_BYTES // (4 * self.vocabulary))
        tokens, likely = [torch.zeros(0, dtype=torch.int64)], [torch.zeros(0)]
        for part in hidden.split(size):
            best = self.logits(part).log_softmax(1).max(1)
            tokens.append(best.indices.cpu())
            likely.append(best.values.cpu())
        return torch.cat(tokens), torch.cat(likely)

    def _check_head(self) -> None:
        with torch.no_grad():
            ids = torch.arange(min(8, self.num_embeddings), device=self.device)[None]
            theirs = self.model(input_ids=ids, use_cache=False).logits.float()
            ours = self.logits(self.hidden(ids))
        if ours.shape != theirs.shape or not torch.allclose(ours, theirs, rtol=1e-2, atol=1e-2, equal_nan=True):
            raise RefusalError(
                f"{type(self.model).__name__} changes its logits in a way that is not supported: its loss cannot be "
                "measured in slices"
            )


def can_crop(cache: Any) -> bool:
    """Return whether the last tokens of a cache can be taken back; a sliding layer has lost what they displaced."""
    sliding = any(getattr(layer, "is_sliding", False) for layer in getattr(cache, "layers", ()))
    return not sliding and getattr(cache, "is_croppable", True)


def _fixed_up_to(module: nn.Module) -> int | None:
    """Up to how many tokens a rotary module keeps its frequencies; None where it always does."""
    kinds = getattr(module, "rope_type", "default")
    layer_types = list(kinds) if isinstance(kinds, dict) else [None]
    if not any(Source(module, layer_type).follows_length for layer_type in layer_types):
        return None
    given = getattr(getattr(module, "config", None), "rope_parameters", None) or {}
    sets = [given, *(each for each in given.values() if isinstance(each, dict))]
    originals = [
        each["original_max_position_embeddings"] for each in sets if "original_max_position_embeddings" in each
    ]
    return min([*originals, *filter(None, [getattr(module, "original_max_seq_len", None)])], default=0)
