"""llama-cpp-python's own server under flags that are right and wrong, audited over HTTP: `make llama-cpp`."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from longspan.audit.blackbox.compare import asked_of, compare, texts_of
from longspan.audit.blackbox.http import Connection, HttpServer
from longspan.audit.blackbox.verdict import Verdict
from longspan.audit.blackbox.vocabulary import Vocabulary
from longspan.errors import LongspanError
from longspan.measure.models.model import LoadedModel
from pretrained.real import SMOLLM2

PYTHON = os.environ.get("LLAMA_CPP_PYTHON", "")
LENGTHS = (300, 600)
"""Tokens: well within the trained length, where other frequencies already show, so that a CPU needs minutes only."""
STARTS = 120.0
"""Seconds within which the server must answer."""

pytestmark = pytest.mark.skipif(not (PYTHON and SMOLLM2.exists()), reason="make llama-cpp builds llama.cpp")


@contextmanager
def served(*flags: str) -> Iterator[str]:
    """llama-cpp-python's server on a free port."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    fixed = ("--model", str(SMOLLM2), "--port", str(port), "--n_ctx", "2048", "--logits_all", "true")
    process = subprocess.Popen(
        [PYTHON, "-m", "llama_cpp.server", *fixed, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + STARTS
        while time.monotonic() < end and process.poll() is None:
            with suppress(LongspanError):
                Connection(url).get("/v1/models")
                break
            time.sleep(0.5)
        yield url
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return LoadedModel.load(str(SMOLLM2), "float32")


def audited(loaded: LoadedModel, url: str, expect: str) -> Verdict:
    texts = texts_of(loaded.tokenizer, [], LENGTHS, loaded.opening)
    server = HttpServer(Connection(url), Vocabulary(loaded.tokenizer, loaded.opening), texts[0].ids[:24])
    return compare(loaded.reader, server, asked_of(loaded.model, expect, LENGTHS, loaded.opening), texts)


YARN = ("--rope_scaling_type", "2", "--rope_freq_scale", "0.25", "--yarn_orig_ctx", "8192")


def test_yarn_is_applied(loaded: LoadedModel) -> None:
    with served(*YARN) as url:
        assert audited(loaded, url, "yarn(factor=4)").as_asked


@pytest.mark.parametrize(
    ("flags", "name"),
    [((), "plain"), (("--rope_scaling_type", "1", "--rope_freq_scale", "0.25"), "linear(factor=4)")],
)
def test_a_mistake_is_named(loaded: LoadedModel, flags: tuple[str, ...], name: str) -> None:
    with served(*flags) as url:
        verdict = audited(loaded, url, "yarn(factor=4)")
    assert not verdict.as_asked
    assert name in str(verdict.named)
