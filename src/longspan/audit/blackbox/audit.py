"""`longspan audit MODEL --server URL` end to end: load the local model, ask the server, weigh the hypotheses."""

from collections.abc import Callable, Sequence
from pathlib import Path

from longspan.audit.blackbox.answer import Server
from longspan.audit.blackbox.compare import PLAIN_NAME, asked_of, compare, texts_of, usual_lengths
from longspan.audit.blackbox.http import Connection, HttpServer
from longspan.audit.blackbox.predict import Request
from longspan.audit.blackbox.runs_as import function_named
from longspan.audit.blackbox.verdict import Verdict
from longspan.audit.blackbox.vocabulary import Vocabulary
from longspan.errors import InputError
from longspan.measure.hardware.device import AUTO
from longspan.measure.models.model import LoadedModel


def audit_server(
    name: str,
    *,
    server: str | None = None,
    runs_as: str | None = None,
    served_name: str | None = None,
    expect: str = PLAIN_NAME,
    to: int | None = None,
    lengths: Sequence[int] = (),
    texts: Sequence[str | Path] = (),
    device: str = AUTO,
    progress: Callable[[str], None] = lambda text: None,
) -> Verdict:
    """Find out what a server really does with positions.

    Arguments:
        name: the model that the server should run, as users name it; it is loaded in float32.
        server: the address of a server.
        runs_as: `module:function` in the place of a server; one of the two must be given.
        served_name: what the server calls the model; the first one that it lists where left out.
        expect: the scheme that the server was asked to apply; "plain" for the model as it is.
        to: N, tokens that the server is to read; texts are no longer than that.
        lengths: of the texts to send, tokens; from half to twice the trained length where left out.
        texts: files or folders to make texts from; the bundled documents where left out.
        device: where the model is run to compare with: auto, cpu, cuda, cuda:1 or mps.
        progress: takes short messages.

    Errors: InputError for a server that gives no log-probabilities, or texts that are too short; SchemeError and
    RefusalError where the model cannot have the scheme.
    """
    if (server is None) == (runs_as is None):
        raise InputError("give either --server or --runs-as")
    connection = None if server is None else Connection(server)  # a wrong address is said before the model is loaded
    function = None if runs_as is None else function_named(runs_as)
    loaded = LoadedModel.load(name, "float32", device)
    asked = asked_of(loaded.model, expect, (), loaded.opening, to)
    lengths = lengths or usual_lengths(asked.trained_length, to)
    requests = texts_of(loaded.tokenizer, texts, lengths, loaded.opening)
    found: Server
    if connection is not None:
        found = HttpServer(connection, Vocabulary(loaded.tokenizer, loaded.opening), _trial(requests[0]), served_name)
    else:
        assert function is not None
        found = function
    return compare(loaded.reader, found, asked, requests, progress)


def _trial(text: Request) -> tuple[int, ...]:
    """The first tokens of a text, on which dialects are tried."""
    return text.ids[:24]
