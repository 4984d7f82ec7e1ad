"""The local tokenizer as needed to read a server's answers: which id a piece of text stands for."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any


class Vocabulary:
    """Ids and texts of tokens.

    Arguments:
        tokenizer: of transformers.
        opening: the special tokens that a tokenizer puts before a text.
    """

    def __init__(self, tokenizer: Any, opening: Sequence[int] = ()) -> None:
        self.tokenizer, self.opening = tokenizer, tuple(opening)

    def text(self, ids: Sequence[int]) -> str:
        """Return the text of ids, without the opening: a server that takes text adds that itself."""
        plain = ids[len(self.opening) :] if tuple(ids[: len(self.opening)]) == self.opening else ids
        return str(self.tokenizer.decode(list(plain), clean_up_tokenization_spaces=False))

    def as_read(self, ids: Sequence[int]) -> tuple[int, ...]:
        """Return the ids that a server reads where it is sent the text of ids: a cut may fall inside a word."""
        opening = self.opening if tuple(ids[: len(self.opening)]) == self.opening else ()
        return (*opening, *self._split(self.text(ids)))

    def continuation(self, ids: Sequence[int], written: str) -> tuple[int, ...]:
        """Return the ids of what a server wrote after a request."""
        text = self.text(ids)
        before, both = self._split(text), self._split(text + written)
        return both[len(before) :] if both[: len(before)] == before else self._split(written)

    def _split(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def piece(self, token: int) -> str:
        """Return the text of one token."""
        return str(self.tokenizer.decode([token], clean_up_tokenization_spaces=False))

    def id_of(self, piece: str) -> int | None:
        """Return the id that a server writes as this text; None where no token or several ones have this text.

        vLLM writes "token_id:123" if it is started with --return-tokens-as-token-ids.
        """
        if piece.startswith("token_id:"):
            return int(piece.removeprefix("token_id:"))
        found = self._by_piece.get(piece, [])
        if len(found) == 1:
            return found[0]
        known = self.tokenizer.convert_tokens_to_ids(piece)
        return known if isinstance(known, int) and known != self.tokenizer.unk_token_id else None

    @cached_property
    def _by_piece(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for token in self.tokenizer.get_vocab().values():
            found.setdefault(self.piece(token), []).append(token)
        return found
