"""The mask object: what transformers gave for making a mask, kept until a layer says what it needs.

Nothing of size queries × keys is made in advance. An extended layer asks for the places of queries and keys; a layer
that stays as it is asks for the mask that its own implementation would have got.
"""

from typing import Any

import torch
from torch import Tensor
from transformers.masking_utils import (
    ALL_MASK_ATTENTION_FUNCTIONS,
    and_masks,
    causal_mask_function,
    packed_sequence_mask_function,
    prepare_padding_mask,
    sdpa_mask,
)

from longspan.compute.decoding.positions import KnownPositions
from longspan.compute.places import PADDING, Places, visible
from longspan.errors import RefusalError
from longspan.mask.all import All
from longspan.mask.window import Window
from longspan.pretrained.running.foresight import function_here, one_token_more, same
from longspan.pretrained.running.forward_pass import ForwardPass

ROWS = 256
"""Query rows that are compared at a time with a mask of the model's own."""
PAIR = 2
"""Tokens that show whether a mask lets a token see a later one."""
NO_SKIP = {"allow_is_causal_skip": False, "allow_is_bidirectional_skip": False}


class LazyMask:
    """An object in the place of a mask of (batch, 1, queries, keys).

    Arguments:
        arguments: what transformers gave for making the mask.
    """

    ndim = 4

    def __init__(self, arguments: dict[str, Any]) -> None:
        offset = arguments.get("q_offset", 0)
        # A static cache hands out its live counter, which moves on before attention runs.
        self.arguments = {**arguments, "q_offset": offset.clone() if isinstance(offset, Tensor) else offset}
        self._stock: dict[str, Any] = {}
        self._places: tuple[Places, Places] | None = None
        self._is_band: bool | None = None
        self._causal = True
        self._positions: dict[int, KnownPositions] = {}
        self._padding: Tensor | None = None
        self._here = self.arguments

    @property
    def shape(self) -> torch.Size:
        """The shape of the mask in whose place this object is."""
        return torch.Size((self.arguments["batch_size"], 1, self.arguments["q_length"], self.arguments["kv_length"]))

    def contiguous(self) -> "LazyMask":
        """Return the object itself; `generate` asks for it."""
        return self

    def to(self, *_: Any, **__: Any) -> "LazyMask":
        """Return the object itself."""
        return self

    @property
    def local_size(self) -> int | None:
        """The sliding window or chunk, tokens; None for a layer that sees everything."""
        return self.arguments.get("local_size")

    @property
    def causal(self) -> bool:
        """Whether the first token does not see the second."""
        return _is_causal(self.arguments)

    def stock(self, implementation: str, current: ForwardPass | None = None) -> Any:
        """Return the mask that an implementation of transformers would have got.

        Arguments:
            current: the pass that the model is in, where it knows of packed documents.

        Errors: RefusalError for packed documents and an implementation that is given no mask of pairs.
        """
        if implementation not in self._stock:
            arguments = self._with_documents(current)
            if arguments is not self.arguments and "flash" in implementation:
                raise RefusalError(
                    f"{implementation} cannot keep packed documents apart in an encoder: load the model with "
                    'attn_implementation="sdpa"'
                )
            self._stock[implementation] = ALL_MASK_ATTENTION_FUNCTIONS[implementation](**arguments)
        return self._stock[implementation]

    def _with_documents(self, current: ForwardPass | None) -> dict[str, Any]:
        """Return what transformers gave, with the packed documents that only the pass knows of."""
        asked, documents = self.arguments, None if current is None else current.given.documents
        if documents is None:
            return asked
        documents = documents.to(asked.get("device", "cpu")).expand(asked["batch_size"], -1)
        apart = and_masks(asked["mask_function"], packed_sequence_mask_function(documents))
        return {**asked, "mask_function": apart, "allow_is_bidirectional_skip": False}

    def places(self, current: ForwardPass | None) -> tuple[Places, Places]:
        """Return the places of queries and keys, on the CPU: on a GPU, each question about them would wait for it.

        Arguments:
            current: the pass that the model is in. It is asked once: a backward pass that recomputes layers comes when
                the model is in another one.

        Errors: RefusalError outside a pass, and where the model's own mask is more than a direction, padding, packing,
        window and chunk.
        """
        if self._places is None:
            if current is None:
                raise RefusalError("attention ran outside the model's forward pass: call the model itself")
            self._places = self._find_places(current)
        return self._places

    def require_causal(self, current: ForwardPass | None) -> None:
        """Check that no token sees a later one, before a layer attends under a causal scheme.

        Arguments:
            current: as of `places`.

        Errors: as of `places`, and RefusalError.
        """
        self.places(current)
        if not self._causal:
            raise RefusalError(
                "this call lets tokens see later ones, which the model did not when it was extended: extend it again, "
                "or call it as before"
            )

    def positions(self, current: ForwardPass | None, batch: int) -> KnownPositions:
        """Return the places as a value, by which layers and steps share what `prepare` finds for few queries.

        Arguments:
            current: as of `places`.
            batch: the number of rows.

        Errors: as of `places`.
        """
        if batch not in self._positions:
            self._positions[batch] = KnownPositions.of(*self.places(current), batch)
        return self._positions[batch]

    def is_band(self, current: ForwardPass | None) -> bool:
        """Return whether this is a long band: most pairs are hidden, all by causality, padding, packing and window.

        Arguments:
            current: as of `places`.
        """
        if self.local_size is None or self.arguments["q_length"] < 2 * self.local_size:
            return False
        if self._is_band is None:
            try:
                self.places(current)
            except RefusalError:  # only the model's own function knows what its mask says
                self._is_band = False
            else:
                self._is_band = True
        return self._is_band

    def _find_places(self, current: ForwardPass) -> tuple[Places, Places]:
        asked = self.arguments
        offset = asked["q_offset"]
        current.begin(offset, asked["q_length"])
        offset = offset.cpu() if isinstance(offset, Tensor) else offset
        self._padding, self._here = self._read(current, offset)
        slots = torch.arange(asked["kv_length"]) + asked["kv_offset"]
        rows = torch.arange(asked["q_length"]) + offset
        counted, document = self._counted(slots)
        later = slots > rows[-1]  # slots of a static cache that wait for tokens
        document = document.masked_fill(later, PADDING)
        index = rows - asked["kv_offset"]
        positions, coordinate = current.positions_of(offset, slots, counted, index)
        order, document = self._split(slots, counted, document)
        keys = Places(order, coordinate[..., None], document)
        queries = Places(order[:, index], positions[..., None], document[:, index])
        if asked["mask_function"] is not causal_mask_function:
            self._causal = _is_causal(self._here if current.given.documents is None else asked)
            self._check(queries, keys, self._causal)
        return queries, keys

    def _read(self, current: ForwardPass, offset: int | Tensor) -> tuple[Tensor | None, dict[str, Any]]:
        """Return the padding on the CPU, and the arguments there; where their function cannot move, as they are.

        Tensors of several masks of a pass are told apart by their windows.
        """
        asked, name = self._with_documents(current), f"in {self.local_size}"
        padding = asked["attention_mask"]
        if isinstance(padding, Tensor):
            padding = current.read(f"padding {name}", padding, one_token_more)
        if torch.device(asked.get("device", "cpu")).type == "cpu" or asked["mask_function"] is causal_mask_function:
            return padding, asked
        function = function_here(asked["mask_function"], lambda part, x: current.read(f"{part} {name}", x, same))
        if function is None:
            return padding, asked
        here = {"attention_mask": padding, "mask_function": function, "q_offset": offset, "device": "cpu"}
        return padding, {**asked, **here}

    def _counted(self, slots: Tensor) -> tuple[Tensor, Tensor]:
        """Count the real tokens before each slot, and find the slots that are padding."""
        asked = self.arguments
        padding = prepare_padding_mask(self._padding, asked["kv_length"], asked["kv_offset"])
        if padding is None:
            return slots[None], torch.zeros_like(slots)[None]
        before = padding.long().cumsum(1) - padding.long()
        return before[:, slots], torch.where(padding[:, slots], 0, PADDING)

    def _split(self, slots: Tensor, order: Tensor, document: Tensor) -> tuple[Tensor, Tensor]:
        """Start a document (packing, chunks) at each token that does not see the one before it."""
        asked = self._here
        if asked["mask_function"] is causal_mask_function or asked.get("use_vmap"):
            return order, document
        device = asked.get("device", "cpu")  # where the numbers lie that the function compares
        batch, here = torch.arange(asked["batch_size"], device=device)[:, None], slots[None].to(device)
        joined = asked["mask_function"](batch, 0, here, (here - 1).clamp(min=0)).cpu()
        starts = ~joined.expand(asked["batch_size"], -1) & (slots > 0)
        if not starts.any():
            return order, document
        number = starts.long().cumsum(1)
        first = order.expand_as(number).masked_fill(~starts, 0).cummax(1).values
        return order - first, torch.where(document == PADDING, PADDING, number)

    def _check(self, queries: Places, keys: Places, causal: bool) -> None:
        """Raise unless the places say all that the model's own mask says."""
        local = Window(size=self.local_size) if self.local_size else All()
        for start in range(0, self.arguments["q_length"], ROWS):
            rows = min(ROWS, self.arguments["q_length"] - start)
            model = sdpa_mask(**{**self._here, **NO_SKIP, "q_length": rows, "q_offset": self._here["q_offset"] + start})
            some = queries.slice(start, start + rows)
            assert model is not None  # asked not to skip
            model = model.cpu()
            theirs = model & (some.document != PADDING)[:, None, :, None]
            first, end = local.interval(some.order, causal=causal)
            near = ((keys.order >= first.min()) & (keys.order < end.max())).any(0).nonzero()
            low, high = int(near[0]), int(near[-1]) + 1  # no row sees a slot outside by our rules
            inside = theirs[..., low:high] != visible(some, keys.slice(low, high), local, causal=causal)
            if not (inside.any() or theirs[..., :low].any() or theirs[..., high:].any()):
                continue
            differ = theirs != visible(some, keys, local, causal=causal)
            if causal and (differ & model & (some.order[:, None, :, None] < keys.order[:, None, None, :])).any():
                raise RefusalError(
                    "this model sees some later tokens and not others (image blocks): its mask is more than causality, "
                    "and only other fixed frequencies (linear, ntk, yarn, longrope, llama3) can be put on it"
                )
            if differ.any():
                raise RefusalError(
                    "the model's own mask is more than a direction, padding, packing, window and chunk: "
                    "this method cannot keep it"
                )


def _is_causal(asked: dict[str, Any]) -> bool:
    if asked["mask_function"] is causal_mask_function or asked["kv_length"] < PAIR:
        return True
    sizes = {"q_length": PAIR, "kv_length": PAIR, "q_offset": 0, "kv_offset": 0, "attention_mask": None}
    seen = sdpa_mask(**{**asked, **sizes, **NO_SKIP})
    assert seen is not None  # asked not to skip
    return not bool(seen[0, 0, 0, 1])


def padding_of(given: Any) -> Tensor | None:
    """Read what a model is given as its mask: (batch, slots), which slots of the cache hold a token; None for all."""
    if isinstance(given, dict):  # one mask per layer type
        given = next(iter(given.values()), None)
    if isinstance(given, LazyMask):
        given = given.arguments["attention_mask"]
    return given if isinstance(given, Tensor) and given.ndim == 2 else None


def lazy_mask(attention_mask: Any = None, **arguments: Any) -> LazyMask:
    """Make the mask object; transformers calls this in the place of a mask function."""
    if isinstance(attention_mask, LazyMask):  # generate made it before the model asked
        return attention_mask
    return LazyMask({"attention_mask": attention_mask, **arguments})
