"""A model that is ready to be measured: loaded, identified by its numbers, and attached to one method at a time."""

import hashlib
from typing import Any

import torch

from longspan.errors import InputError, RefusalError
from longspan.measure.corpus.documents import opening
from longspan.measure.hardware.device import AUTO, device_named, placed
from longspan.measure.models.loading import SAMPLE, load, load_tokenizer
from longspan.measure.reading.reader import Reader
from longspan.pretrained.attach import detach, extend, has_design, sees_later_tokens

PLAIN = "plain"
"""The name of the method that changes nothing."""


class LoadedModel:
    """A model and its tokenizer; the model stays attached to a method until another one is wanted.

    Arguments:
        model: a causal language model of transformers.
        tokenizer: its tokenizer.
        device: where it runs; by default where it is.

    Errors: RefusalError where the model cannot be read with; InputError where the device has no room for it.
    """

    def __init__(self, model: Any, tokenizer: Any, device: torch.device | None = None) -> None:
        self.fingerprint = fingerprint(model)  # first: a spread model does not hold all of its numbers
        self.model, self.tokenizer = model if device is None else placed(model, device), tokenizer
        self.reader = Reader(self.model)
        self.opening = opening(tokenizer)
        self._method: str | None = None

    @classmethod
    def load(cls, name: str, dtype: str, device: str = AUTO) -> "LoadedModel":
        """Load by the name that a user gives.

        Arguments:
            device: as `device_named` takes it.

        Errors: InputError and RefusalError where there is no such model or device, or they cannot be used.
        """
        chosen, model = device_named(device), load(name, dtype)
        if sees_later_tokens(model):
            raise RefusalError(
                f"{name} sees the tokens that it would have to predict, as encoders do: `longspan train` measures such "
                "a model on hidden tokens and answers"
            )
        return cls(model, load_tokenizer(name), chosen)

    def attach(self, method: str) -> None:
        """Put a method on the model, in place of the one that is on it.

        The plain model is attached to its own rotation: its sliding layers then make no mask of the whole text. A model
        that was trained with a design is plain with that design.

        Errors: SchemeError for a text that is no scheme; RefusalError where this model cannot have the method.
        """
        if method != self._method:
            if method == PLAIN and has_design(self.model):
                detach(self.model)
            else:
                extend(self.model, "rope" if method == PLAIN else method)
            self._method = method

    def check_tokenizer(self) -> None:
        """Compare the tokenizer with the model.

        Errors: InputError where the tokenizer makes ids that the model does not know.
        """
        size = max(self.tokenizer.get_vocab().values(), default=0) + 1
        used = max(self.tokenizer(SAMPLE)["input_ids"], default=0)
        if used >= self.reader.num_embeddings or size > 2 * self.reader.num_embeddings:
            raise InputError(
                f"the tokenizer has {size} tokens and the model {self.reader.num_embeddings}: they do not belong "
                "together; give the model with its own tokenizer"
            )


def fingerprint(model: Any) -> str:
    """Return a digest of every parameter's name, shape and some of its numbers, 16 hexadecimal digits."""
    state = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        numbers = parameter.detach().flatten()
        some = numbers[:: max(1, len(numbers) // 64)].float().cpu()
        state.update(f"{name} {tuple(parameter.shape)} {some.tolist()}".encode())
    return state.hexdigest()[:16]
