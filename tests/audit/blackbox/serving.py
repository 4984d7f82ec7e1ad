"""Servers for tests of the black-box audit: stock transformers models, rounded ones, and a small HTTP server."""

import json
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from transformers import LlamaConfig, LlamaForCausalLM

import tiny
from longspan.audit.blackbox.answer import Answer
from longspan.audit.blackbox.compare import asked_of, compare, texts_of
from longspan.audit.blackbox.hypothesis import Hypothesis
from longspan.audit.blackbox.predict import Request, predicted
from longspan.audit.blackbox.runs_as import Function
from longspan.audit.blackbox.verdict import Verdict
from longspan.measure.reading.reader import Reader

TRAINED_LENGTH = tiny.TRAINED_LENGTH
OPENING = (1,)
LENGTHS = (32, 80, 96, 128)


@cache
def tokenizer() -> Any:
    return tiny.words_tokenizer(opening=True)


@cache
def local() -> LlamaForCausalLM:
    return tiny.llama(len(tokenizer()))


def stock(dtype: torch.dtype = torch.float32, bits: int = 0, **changes: Any) -> LlamaForCausalLM:
    """The local model's weights under another config, as transformers itself runs it; weights rounded to some bits."""
    model = LlamaForCausalLM(LlamaConfig(**{**local().config.to_dict(), **changes})).eval()
    model.load_state_dict(local().state_dict())
    with torch.no_grad():
        for parameter in model.parameters():
            if bits and parameter.dim() == 2:
                step = parameter.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
                parameter.copy_(torch.round(parameter / step) * step)
            parameter.copy_(parameter.to(dtype))
            if dtype is not torch.float32:
                parameter.data = parameter.data.to(dtype)
    return model


def log_probabilities(model: Any, ids: Sequence[int]) -> list[float]:
    """Those of each token but the first, read by the model at once; NaN for the first."""
    with torch.no_grad():
        scores = model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0].float().log_softmax(-1)
    rest = scores[:-1].gather(1, torch.tensor(list(ids))[1:, None])[:, 0]
    return [float("nan"), *rest.tolist()]


def serves(model: Any) -> Function:
    return Function(lambda ids: log_probabilities(model, ids))


def prose(folder: Path, words: int = 3000, seed: int = 5) -> Path:
    """A document of random words of the tiny vocabulary."""
    numbers = random.Random(seed)
    path = folder / f"prose-{seed}.txt"
    path.write_text(" ".join(numbers.choice(tiny.PROSE) for _ in range(words)))
    return path


Known = tuple[int, Hypothesis, tuple[Request, ...], tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]]


@cache
def _predictions() -> dict[Known, Any]:
    return {}


def predicted_once(
    reader: Reader, hypothesis: Hypothesis, requests: Sequence[Request], answers: Sequence[Answer]
) -> Any:  # fmt: skip
    """What the audit predicts does not depend on the server: many tests share it."""
    asked = tuple((answer.positions, answer.tokens) for answer in answers)
    key = (id(reader.model), hypothesis, tuple(requests), asked)
    if reader.model is not local():
        return predicted(reader, hypothesis, requests, answers)
    if key not in _predictions():
        _predictions()[key] = predicted(reader, hypothesis, requests, answers)
    return _predictions()[key]


def verdict_on(
    server: Any, expect: str, document: Path, seed: int = 0, lengths: Sequence[int] = LENGTHS, model: Any = None
) -> Verdict:
    reader = Reader(local() if model is None else model)
    texts = texts_of(tokenizer(), [document], lengths, OPENING, seed)
    with patch("longspan.audit.blackbox.compare.predicted", predicted_once):
        return compare(reader, server, asked_of(reader.model, expect, lengths, OPENING), texts)


@contextmanager
def http(answer: Callable[[str, dict[str, Any]], Any]) -> Iterator[str]:
    """Serve replies on this machine; `answer` gets path and body, and returns JSON or an error code."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send({"data": [{"id": "served"}]} if self.path == "/v1/models" else 404)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._send(answer(self.path, body))

        def _send(self, said: Any) -> None:
            self.send_response(said if isinstance(said, int) else 200)
            self.end_headers()
            self.wfile.write(json.dumps(said).encode())

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
