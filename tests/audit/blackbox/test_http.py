"""Servers over HTTP: each dialect, texts, openings that a server adds, truncation, and servers that give nothing."""

import math
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from audit.blackbox.serving import OPENING, http, local, log_probabilities, prose, stock, tokenizer, verdict_on
from longspan.audit.blackbox.http import Connection, HttpServer
from longspan.audit.blackbox.vocabulary import Vocabulary
from longspan.errors import InputError

TRIAL = (1, 5, 6, 7, 8, 9)
YARN = {
    "rope_parameters": {
        "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 64,
    },
    "max_position_embeddings": 256,
}  # fmt: skip
Answering = Callable[[str, dict[str, Any]], Any]


def connected(url: str) -> HttpServer:
    return HttpServer(Connection(url), Vocabulary(tokenizer(), OPENING), TRIAL)


def ids_of(prompt: Any) -> list[int]:
    return list(tokenizer()(prompt)["input_ids"]) if isinstance(prompt, str) else list(prompt)


def echo(model: Any, *, only_text: bool = False, keep: int | None = None) -> Answering:
    """OpenAI's completions, as vLLM serves them."""

    def answer(path: str, body: dict[str, Any]) -> Any:
        if path != "/v1/completions" or not body.get("echo") or (only_text and not isinstance(body["prompt"], str)):
            return 400
        assert body["model"] == "served"
        ids = ids_of(body["prompt"])[-(keep or 0) :]
        values = [None, *log_probabilities(model, ids)[1:], -1.0]
        pieces = [*(tokenizer().decode([i]) for i in ids), "sun"]
        return {
            "choices": [{"logprobs": {"token_logprobs": values, "tokens": pieces}}],
            "usage": {"prompt_tokens": len(ids), "completion_tokens": 1},
        }

    return answer


def late(model: Any) -> Answering:
    """llama-cpp-python without a BOS: each entry holds the row after its token, and the generated token has none."""

    def answer(path: str, body: dict[str, Any]) -> Any:
        if path != "/v1/completions" or not body.get("echo") or not isinstance(body["prompt"], str):
            return 400
        ids = ids_of(body["prompt"])
        with torch.no_grad():
            rows = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].float().log_softmax(-1)
        pieces = [tokenizer().decode([i]) for i in ids]
        likely = [
            {tokenizer().decode([int(row.argmax())]): float(row.max()), piece: float(row[i])}
            for row, i, piece in zip(rows, ids, pieces, strict=True)
        ]
        found = {
            "token_logprobs": [None, *(top[piece] for top, piece in zip(likely[1:], pieces[1:], strict=True))],
            "tokens": pieces,
            "top_logprobs": [None, *likely[1:]],
        }
        return {"choices": [{"logprobs": found}], "usage": {"completion_tokens": 1}}

    return answer


def of_vllm(model: Any) -> Answering:
    """vLLM's prompt_logprobs; echo is refused."""

    def answer(path: str, body: dict[str, Any]) -> Any:
        if path != "/v1/completions" or body.get("echo") or "prompt_logprobs" not in body:
            return 400
        ids = body["prompt"]
        entries = [
            None,
            *({str(i): {"logprob": v}} for i, v in zip(ids[1:], log_probabilities(model, ids)[1:], strict=True)),
        ]
        return {"choices": [{"prompt_logprobs": entries}]}

    return answer


def top(model: Any, ids: list[int], count: int) -> list[tuple[int, float]]:
    with torch.no_grad():
        found = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].float().log_softmax(-1).topk(count)
    return list(zip(found.indices.tolist(), found.values.tolist(), strict=True))


def of_llama_cpp(model: Any) -> Answering:
    """llama.cpp's server: no log-probabilities of the prompt; `echo` is ignored."""

    def answer(path: str, body: dict[str, Any]) -> Any:
        if path == "/v1/completions":
            return {"choices": [{"text": "x", "logprobs": {"content": []}}]}
        assert path == "/completion"
        likely = [{"id": i, "token": "", "logprob": v} for i, v in top(model, body["prompt"], body["n_probs"])]
        return {"completion_probabilities": [{**likely[0], "top_logprobs": likely}]}

    return answer


def top_only(model: Any, *, contents: bool) -> Answering:
    """OpenAI's completions without echo, in both forms."""

    def answer(path: str, body: dict[str, Any]) -> Any:
        if path != "/v1/completions" or body.get("echo"):
            return 404
        likely = top(model, ids_of(body["prompt"]), body.get("logprobs", 1))
        if contents:
            found = {"content": [{"top_logprobs": [{"id": i, "token": "?", "logprob": v} for i, v in likely]}]}
        else:
            found = {"top_logprobs": [{tokenizer().decode([i]): v for i, v in likely}]}
        return {"choices": [{"logprobs": found}]}

    return answer


def writes(model: Any) -> Answering:
    """A server that takes text only and gives nothing but text, as transformers serve does."""

    def answer(path: str, body: dict[str, Any]) -> Any:
        if path != "/v1/completions" or not isinstance(body["prompt"], str) or "prompt_logprobs" in body:
            return 400
        ids = tokenizer()(body["prompt"], return_tensors="pt")["input_ids"]
        limits: dict[str, Any] = {"max_new_tokens": body["max_tokens"], "do_sample": False, "pad_token_id": 0}
        found = model.generate(ids, **limits)[0]
        before, after = (tokenizer().decode(row, skip_special_tokens=True) for row in (ids[0], found))
        return {"choices": [{"text": after[len(before) :]}]}

    return answer


SPEAKS: dict[str, tuple[Callable[[Any], Answering], str]] = {
    "echo": (echo, "completions with echo"),
    "text": (lambda model: echo(model, only_text=True), "completions with echo"),
    "late": (late, "completions with echo"),
    "vllm": (of_vllm, "vLLM's prompt_logprobs"),
    "llama.cpp": (of_llama_cpp, "llama.cpp's /completion"),
    "top": (lambda model: top_only(model, contents=False), "completions with top_logprobs"),
    "contents": (lambda model: top_only(model, contents=True), "completions with top_logprobs"),
}


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prose(tmp_path_factory.mktemp("documents"))


@pytest.mark.parametrize("dialect", SPEAKS)
def test_every_dialect_gives_the_models_log_probabilities(dialect: str) -> None:
    speaks, name = SPEAKS[dialect]
    with http(speaks(local())) as url:
        server = connected(url)
        assert server.dialect.name == name
        found = server.answer(TRIAL)
    assert len(found.values) >= 5
    with torch.no_grad():
        scores = local()(input_ids=torch.tensor([TRIAL])).logits[0].float().log_softmax(-1)
    for position, token, value in zip(found.positions, found.tokens, found.values, strict=True):
        assert value == pytest.approx(float(scores[position - 1, token]), abs=1e-3)


@pytest.mark.parametrize("dialect", SPEAKS)
def test_a_server_over_http_is_named(dialect: str, document: Path) -> None:
    speaks, _ = SPEAKS[dialect]
    with http(speaks(local())) as url:
        assert "plain" in str(verdict_on(connected(url), "yarn(factor=4)", document).named)
    with http(speaks(stock(**YARN))) as url:
        assert verdict_on(connected(url), "yarn(factor=4)", document).as_asked


def test_a_server_that_only_writes_is_compared_by_what_it_writes(document: Path) -> None:
    with http(writes(local())) as url:
        server = connected(url)
        assert server.dialect.name == "greedy continuations"
        verdict = verdict_on(server, "yarn(factor=4)", document)
    assert verdict.named == "plain: the model as it is"
    assert verdict.chosen
    assert "wrote at temperature 0" in verdict.sentences()[-1]
    with http(writes(stock(**YARN))) as url:
        assert verdict_on(connected(url), "yarn(factor=4)", document).as_asked


def test_a_server_that_samples_fits_nothing(document: Path) -> None:
    right = writes(stock(**YARN))

    def shuffled(path: str, body: dict[str, Any]) -> Any:
        reply = right(path, body)
        if isinstance(reply, dict):
            choice = reply["choices"][0]
            choice["text"] = "".join(f" {word}" for word in reversed(choice["text"].split()))
        return reply

    with http(shuffled) as url:
        verdict = verdict_on(connected(url), "yarn(factor=4)", document)
    assert not verdict.fits
    assert "samples at temperature 0" in verdict.sentences()[0]


def test_a_server_that_drops_the_start_is_named(document: Path) -> None:
    with http(echo(local(), keep=64)) as url:
        verdict = verdict_on(connected(url), "plain", document)
    assert verdict.named == "the context is cut to the last 64 tokens"


def test_dropped_tokens_have_no_value() -> None:
    with http(echo(local(), keep=6)) as url:
        found = connected(url).answer((1, 5, 6, 7, 8, 9, 10, 11, 12))
    assert [math.isnan(value) for value in found.values] == [True] * 3 + [False] * 5


def test_a_server_that_refuses_the_model_it_lists_is_asked_without_a_name() -> None:
    """transformers serve lists what the Hub's cache holds, and is pinned to one model."""
    answers = writes(local())

    def pinned(path: str, body: dict[str, Any]) -> Any:
        return 400 if "model" in body else answers(path, body)

    with http(pinned) as url:
        server = connected(url)
        assert server.dialect.model is None
        assert server.answer(TRIAL).chosen
        with pytest.raises(InputError, match="answers 400"):
            HttpServer(Connection(url), Vocabulary(tokenizer(), OPENING), TRIAL, "served")


def test_a_server_without_log_probabilities_is_one_line() -> None:
    with http(lambda path, body: {"choices": []}) as url, pytest.raises(InputError) as error:
        connected(url)
    assert "gives no log-probabilities" in str(error.value)
    assert "\n" not in str(error.value)


def test_another_tokenizer_is_said() -> None:
    def answer(path: str, body: dict[str, Any]) -> Any:
        ids = [3] * 40
        found = {"token_logprobs": [None, *[-1.0] * 39], "tokens": [tokenizer().decode([i]) for i in ids]}
        return {"choices": [{"logprobs": found}], "usage": {"completion_tokens": 0}}

    with http(answer) as url, pytest.raises(ValueError, match="tokenizer"):
        connected(url).answer(tuple(range(2, 22)))


def test_no_server_and_no_address() -> None:
    with pytest.raises(InputError, match="is the server running"):
        connected("http://127.0.0.1:9")
    with pytest.raises(InputError, match="takes an address"):
        Connection("localhost:8000")


@pytest.mark.parametrize("url", ["http://a:1", "http://a:1/", "http://a:1/v1", "http://a:1/v1/completions"])
def test_an_address_may_name_the_endpoint(url: str) -> None:
    assert Connection(url).root == "http://a:1"


@pytest.mark.parametrize(
    "url", ["http://localhost:PORT", "http://local host:80", "http://[::1", "http://", "http://a:99999", "http://ä:1"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="takes an address"):
        Connection(url)


@pytest.mark.parametrize("said", [b'HTTP/1.0 200 OK\r\nContent-Length: 1000\r\n\r\n{"da', b"\x00\x01 no HTTP\r\n\r\n"])
def test_a_reply_that_is_cut_short_or_no_http_is_said_to_be(said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(said)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with pytest.raises(InputError, match="no whole answer"):
            Connection(f"http://127.0.0.1:{port}").get("/v1/models")
        thread.join()


def test_nulls_in_a_reply_are_no_numbers() -> None:
    """Of the usage, and of a likely token."""
    whole = echo(stock(**YARN))

    def answer(path: str, body: dict[str, Any]) -> Any:
        reply = whole(path, body)
        if isinstance(reply, int):
            return reply
        found = reply["choices"][0]["logprobs"]
        return reply | {
            "usage": {"completion_tokens": None},
            "choices": [{"logprobs": found | {"top_logprobs": [{"a": None}] * len(found["tokens"])}}],
        }

    def next_token(path: str, body: dict[str, Any]) -> Any:
        if path != "/v1/completions" or body.get("echo") or body.get("logprobs") is None:
            return 400
        likely = {tokenizer().decode([5]): -0.5, tokenizer().decode([6]): None}
        return {"choices": [{"logprobs": {"top_logprobs": [likely]}}]}

    ids = list(range(2, 22))
    with http(answer) as url:
        given = connected(url).answer(ids).values
    with http(whole) as url:
        assert connected(url).answer(ids).values == given
    with http(next_token) as url:
        assert connected(url).answer(ids).values == (-0.5,)
