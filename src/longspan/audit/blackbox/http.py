"""A server over HTTP: finds out once in which of the known ways it gives log-probabilities, then asks in that way."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from longspan.audit.blackbox.answer import Answer
from longspan.audit.blackbox.dialect import Dialect, UnansweredError
from longspan.audit.blackbox.vocabulary import Vocabulary
from longspan.errors import InputError, shown

TIMEOUT = 600.0
"""Seconds that one request may take: a long prompt on a slow machine."""


@dataclass(frozen=True)
class Connection:
    """The address of a server.

    Arguments:
        url: as users write it, "http://localhost:8000" or with "/v1".
        key: what the server wants as a bearer token; empty for none.
    """

    url: str
    key: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if not _is_address(self.url):
            raise InputError(f"--server takes an address such as http://localhost:8000, got {self.url!r}")

    @property
    def root(self) -> str:
        """The address without the path of an endpoint."""
        return self.url.rstrip("/").removesuffix("/completions").removesuffix("/v1")

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Return what the server says to a JSON body.

        Errors: UnansweredError where it refuses this kind of request; InputError where it cannot be reached.
        """
        return self._send(Request(self.root + path, json.dumps(body).encode(), self._headers()))

    def get(self, path: str) -> Any:
        """Return what the server says at a path; errors as of `post`."""
        return self._send(Request(self.root + path, headers=self._headers()))

    def _headers(self) -> dict[str, str]:
        given = {"Content-Type": "application/json", "Accept": "application/json"}
        return {**given, "Authorization": f"Bearer {self.key}"} if self.key else given

    def _send(self, request: Request) -> Any:
        try:
            with urlopen(request, timeout=TIMEOUT) as reply:  # an address that the user gave
                said = reply.read()
        except HTTPError as error:
            said = " ".join(error.read(300).decode(errors="replace").split())
            raise UnansweredError(f"{request.full_url} answers {error.code}: {said}") from error
        except (URLError, TimeoutError, ConnectionError) as error:
            reason = getattr(error, "reason", error)
            raise InputError(f"no answer from {request.full_url}: {reason}; is the server running?") from error
        except HTTPException as error:  # a reply that is cut short, or none of HTTP
            reason = f"{type(error).__name__}: {error}"
            raise InputError(f"no whole answer from {request.full_url}: {reason}; is it an HTTP server?") from error
        try:
            return json.loads(said)
        except ValueError as error:
            raise UnansweredError(f"{request.full_url} does not answer in JSON") from error


def _is_address(url: str) -> bool:
    """Whether a request can be sent to an address: a scheme, a host, and a number where a port is named."""
    try:
        parts = urlsplit(url)
        named = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:  # brackets that do not close, a port that is no number
        return False
    return named and url.isascii() and not any(letter.isspace() or not letter.isprintable() for letter in url)


class HttpServer:
    """A server that speaks one of the dialects.

    Arguments:
        connection: its address.
        vocabulary: of the local tokenizer.
        model: the name that the server knows the model by; where left out, the first one that it lists, and none where
            it refuses that one: transformers serve is pinned to one model and lists others.
        trial: token ids that each dialect is tried on.

    Errors: InputError where the server answers in no dialect.
    """

    def __init__(
        self, connection: Connection, vocabulary: Vocabulary, trial: Sequence[int], model: str | None = None
    ) -> None:
        from longspan.audit.blackbox.dialects import dialects

        self.connection, self.vocabulary = connection, vocabulary
        reasons: list[str] = []
        for name in (model,) if model else dict.fromkeys((self._first_model(), None)):
            for dialect in dialects(connection, vocabulary, name):
                try:
                    dialect.answer(trial)
                except UnansweredError as error:
                    reasons.append(f"{dialect.name}: {error}")
                else:
                    self.dialect: Dialect = dialect
                    return
        raise InputError(
            f"{connection.url} gives no log-probabilities and completes no text, and this audit needs one of them; "
            f"start it so that it does, or use --runs-as. Tried: {shown('; '.join(reasons))}"
        )

    def prompts(self, ids: Sequence[int]) -> Sequence[Sequence[int]]:
        """Return the requests to make about one text, in the server's dialect."""
        return self.dialect.prompts(ids)

    def answer(self, ids: Sequence[int]) -> Answer:
        """Return what the server says about the ids.

        Errors: InputError where it gives no log-probabilities for them.
        """
        try:
            return self.dialect.answer(ids)
        except UnansweredError as error:
            raise InputError(f"the server gives no log-probabilities for {len(ids)} tokens: {error}") from error

    def _first_model(self) -> str | None:
        try:
            listed = self.connection.get("/v1/models")
            return str(listed["data"][0]["id"])
        except (UnansweredError, LookupError, TypeError):
            return None
