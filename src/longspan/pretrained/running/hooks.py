"""The hooks of an extended model: they begin and end its forward passes and give rotary modules mapped positions.

A rotary module rotates keys before they are cached, to the positions that it is given. Given the true position p, it
rotates as ever (frame p); given zero, it leaves keys unrotated (frame 0); given another, such as p / k, it rotates them
part of the way. Attention layers do the rest, pair by pair where the method needs that.
"""

import inspect
import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers.masking_utils import find_packed_sequence_indices

from longspan.errors import RefusalError
from longspan.position_map import PositionMap
from longspan.pretrained.running.arguments import Arguments
from longspan.pretrained.running.foresight import one_token_more
from longspan.pretrained.running.forward_pass import ForwardPasses
from longspan.pretrained.running.mask import padding_of


class RotaryHook:
    """A hook before one rotary module: it notes positions and gives each set of frequencies its mapped positions.

    Arguments:
        mapped: by layer type; a set of frequencies that is not named is given true positions.

    Errors: RefusalError for a module without `position_ids`.
    """

    def __init__(self, module: nn.Module, passes: ForwardPasses, mapped: Mapping[str | None, PositionMap]) -> None:
        self.arguments, self.passes, self.mapped = arguments_of_rotary(module), passes, mapped

    def __call__(self, module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
        """Replace the positions; torch calls this before the module's forward."""
        given, current = self.arguments.get("position_ids", args, kwargs), self.passes.current
        true = given if current is None else current.note(given)
        position_map = self.mapped.get(self.arguments.get("layer_type", args, kwargs))
        if position_map is not None:
            return self.arguments.put("position_ids", position_map(true), args, kwargs)
        counted = None if current is None else current.counted_from_first(true)
        return None if counted is None else self.arguments.put("position_ids", counted, args, kwargs)

    def install(self, module: nn.Module) -> list[RemovableHandle]:
        """Register the hook."""
        return [module.register_forward_pre_hook(self, with_kwargs=True)]


def arguments_of_rotary(module: nn.Module) -> Arguments:
    """Return the arguments of a rotary module.

    Errors: RefusalError for one without `position_ids`.
    """
    found = Arguments(module)
    if "position_ids" not in found.names:
        raise RefusalError(f"{type(module).__name__} takes no position_ids: its rotation cannot be steered")
    return found


CALL = nn.Module._call_impl.__code__
"""The code of torch that calls a module and its hooks."""


def running(module: nn.Module) -> int:
    """Count the calls of a module that run in this thread; a compiler cannot, and takes none for interrupted."""
    if torch.compiler.is_compiling():
        return sys.maxsize
    frame, found = inspect.currentframe(), 0
    while frame is not None:
        found += frame.f_code is CALL and frame.f_locals.get("self") is module
        frame = frame.f_back
    return found


class WrapperHooks:
    """Hooks around a model that wraps the text model: they note what its caller gives about positions."""

    def __init__(self, model: nn.Module, passes: ForwardPasses) -> None:
        self.arguments, self.passes = Arguments(model), passes

    def install(self, model: nn.Module) -> list[RemovableHandle]:
        """Register the hooks."""
        return [
            model.register_forward_pre_hook(self._begin, with_kwargs=True),
            model.register_forward_hook(self._end, always_call=True),
        ]

    def _begin(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        explicit = self.arguments.get("position_ids", args, kwargs) is not None
        if self.passes.called:
            self.passes.keep_calls(running(module) - 1)
        self.passes.begin_call(explicit, padding_of(self.arguments.get("attention_mask", args, kwargs)))

    def _end(self, module: nn.Module, args: tuple, output: Any) -> None:
        self.passes.end_call()


class TextModelHooks:
    """Hooks around the text model: they begin a pass with the cache that it reads and end it with the one it returns.

    Arguments:
        window: tokens that the narrowest sliding layer sees; None where no layer slides.
        wrapper: the model around it; None where there is none.
        attends: modules that hold the implementation of attention that was installed, by the name of it; empty where
            they attend as ever.
        packs: whether positions that begin anew mean packed documents here, as in an encoder: of a causal model
            transformers itself knows that.
    """

    def __init__(
        self,
        base: nn.Module,
        passes: ForwardPasses,
        window: int | None,
        *,
        wrapper: nn.Module | None,
        attends: Mapping[nn.Module, str],
        packs: bool = False,
    ) -> None:
        self.arguments, self.passes, self.window, self.packs = Arguments(base), passes, window, packs
        self.wrapper, self.attends = wrapper, attends

    def install(self, base: nn.Module) -> list[RemovableHandle]:
        """Register the hooks."""
        return [
            base.register_forward_pre_hook(self._begin, with_kwargs=True),
            base.register_forward_hook(self._end, always_call=True),
        ]

    def _begin(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        positions, mask = (self.arguments.get(name, args, kwargs) for name in ("position_ids", "attention_mask"))
        padding, documents = padding_of(mask), None
        if self.packs and mask is None and positions is not None and positions.ndim == 2:
            documents = find_packed_sequence_indices(positions)
        cache = self.arguments.get("past_key_values", args, kwargs)
        if self.wrapper is not None and self.passes.called:
            self.passes.keep_calls(running(self.wrapper))
        if self.passes.open:
            self.passes.keep_open(running(module) - 1)
        self.passes.begin(cache, positions is not None, padding, documents)
        self._check_implementation()  # only now: `_end` follows also when this fails
        self._check_sliding(padding)

    def _check_implementation(self) -> None:
        """Refuse where somebody has set another attention function: it would attend to keys in another frame."""
        for module, installed in self.attends.items():
            found = module.__dict__["config"]._attn_implementation
            if found != installed:
                raise RefusalError(
                    f"attention was set to {found!r} while an extension is on, which it cannot compute: detach the "
                    "model, set its attention, and extend it again"
                )

    def _check_sliding(self, padding: Tensor | None) -> None:
        """transformers counts a window in slots: padding between tokens takes the place of tokens there."""
        if self.window is None or padding is None or padding.shape[1] <= self.window:
            return
        current = self.passes.current
        if current is not None and current.slots is not None:
            current.begin(current.slots, padding.shape[1] - current.slots)
            padding = current.read("padding of the caller", padding, one_token_more)
        real = padding.bool()
        runs = (real[:, 1:] & ~real[:, :-1]).sum(1) + real[:, 0]
        between = (runs > 1).any()
        message = (
            f"padding lies between tokens, and sliding layers of this model count it in their window of {self.window}: "
            "they would see fewer tokens than without it; pad on the left"
        )
        if torch.compiler.is_compiling():  # one graph stays one graph, and checks when it runs
            torch._assert_async(~between, message)  # pyright: ignore[reportPrivateImportUsage]
        elif between:
            raise RefusalError(message)

    def _end(self, module: nn.Module, args: tuple, output: Any) -> None:
        self.passes.end(getattr(output, "past_key_values", None))
