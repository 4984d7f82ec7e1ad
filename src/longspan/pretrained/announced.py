"""The length that a model says it reads: `generate` refuses or warns about prompts beyond it, tokenizers warn."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from transformers import PreTrainedConfig

from longspan.pretrained.running.rotary import rotary_modules


class AnnouncedLength:
    """A longer length in the configs that a model holds, in its generation configs and in its tokenizer.

    The configs must be private copies (`swap_configs`), which are dropped as a whole when the extension is taken off.
    Rotary modules keep the length they had, because some compute frequencies from it.

    Arguments:
        model: the model, or a wrapper of it.
        config: the config of its text model.
        length: tokens to read.
        tokenizer: the model's tokenizer, if it is known.
    """

    def __init__(self, model: nn.Module, config: PreTrainedConfig, length: int, tokenizer: Any = None) -> None:
        self.model, self.config, self.length, self.tokenizer = model, config, length, tokenizer
        self.own: int = config.max_position_embeddings
        self._before: list[tuple[Any, str, int]] = []

    def install(self) -> "AnnouncedLength":
        """Raise every limit that is lower than the length; limits that a user set below the model's own stay."""
        for module in rotary_modules(self.model):
            if isinstance(kept := module.__dict__.get("config"), PreTrainedConfig):
                module.__dict__["config"] = copy.deepcopy(kept)
        for module in self.model.modules():
            config, generation = (module.__dict__.get(name) for name in ("config", "generation_config"))
            if isinstance(config, PreTrainedConfig) and config.get_text_config(decoder=True) is self.config:
                self._raise(config, "max_position_embeddings")  # the text model's, and a wrapper's that repeats it
            if generation is not None:
                self._raise(generation, "max_length")
        if self.tokenizer is not None:
            self._raise(self.tokenizer, "model_max_length")
        return self

    def remove(self) -> None:
        """Bring back what the generation configs and the tokenizer said; what was set meanwhile stays."""
        for owner, name, before in self._before:
            if getattr(owner, name) == self.length:
                setattr(owner, name, before)
        self._before = []

    @contextmanager
    def named_by(self, tokenizer: Any) -> Iterator[None]:
        """Let another tokenizer name the length while the context lasts."""
        twin = AnnouncedLength(nn.Module(), self.config, self.length, tokenizer)
        twin.own = self.own
        twin.install()
        try:
            yield
        finally:
            twin.remove()

    def _raise(self, owner: Any, name: str) -> None:
        present = getattr(owner, name, None)
        if isinstance(present, int) and self.own <= present < self.length:
            setattr(owner, name, self.length)
            self._before.append((owner, name, present))
