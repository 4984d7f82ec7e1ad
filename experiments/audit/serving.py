"""Start the servers: llama-cpp-python's, transformers' own, and a gateway before either that cuts long texts."""

import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
from gguf import GGUFReader, GGUFValueType, GGUFWriter
from running import gateway as cuts
from settings import CHANNELS, LLAMA_CPP, THETA, TRAINED, Setting

from longspan.audit.blackbox.http import Connection
from longspan.errors import InputError, LongspanError
from longspan.rotation.yarn import YaRN

STARTS = 300.0
"""Seconds within which a server must answer."""
CONTEXT = 1024


def prepare(source: Path, folder: Path) -> None:
    """Write what the servers load: GGUF files that promise `TRAINED` tokens, and a checkpoint of transformers."""
    plain = folder / "smollm2.gguf"
    if not plain.exists():
        partial = folder / "partial.gguf"
        shutil.copyfile(source, partial)
        reader = GGUFReader(partial, "r+")
        field = reader.fields["llama.context_length"]
        field.parts[field.data[0]][0] = TRAINED
        reader.data.flush()
        partial.rename(plain)
    factors = folder / "smollm2-factors.gguf"
    if not factors.exists():
        asked = YaRN(4.0, TRAINED, theta=THETA)
        ratios = (asked.original(CHANNELS) / asked.frequencies(CHANNELS)).numpy()
        _with_factors(plain, folder / "partial.gguf", ratios.astype(np.float32))
        (folder / "partial.gguf").rename(factors)
    if not (folder / "smollm2").exists():
        from longspan.measure.loading import load, load_tokenizer

        shutil.rmtree(folder / "partial", ignore_errors=True)
        load(str(plain), "float32").save_pretrained(folder / "partial")
        load_tokenizer(str(plain)).save_pretrained(folder / "partial")
        (folder / "partial").rename(folder / "smollm2")


def _with_factors(source: Path, to: Path, factors: Any) -> None:
    """Copy a GGUF file and add a tensor of rope factors, as files of Llama 3.1 have it."""
    reader = GGUFReader(source)
    writer = GGUFWriter(to, "llama")
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        inner = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), field.types[0], inner)
    writer.add_tensor("rope_freqs.weight", factors)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@contextmanager
def started(setting: Setting, folder: Path, llama_cpp: str, serving: str, log: Path) -> Iterator[str]:
    """Start a server, wait until it answers, and end it with the context.

    Arguments:
        folder: what `prepare` wrote.
        llama_cpp: a Python with llama-cpp-python.
        serving: the `transformers` program, with what its `serving` extra needs.
    """
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    if setting.server == LLAMA_CPP:
        flags = [part for name, value in setting.flags for part in (f"--{name}", str(value))]
        model = folder / f"smollm2{setting.model}.gguf"
        fixed = ["--model", str(model), "--n_ctx", str(CONTEXT), "--logits_all", "true", "--n_threads", "1"]
        command = [llama_cpp, "-m", "llama_cpp.server", *fixed, "--port", str(port), *flags]
        health = "/v1/models"
    else:
        model = _configured(setting, folder)
        fixed = ["--device", "cpu", "--host", "127.0.0.1", "--port", str(port)]
        command = [serving, "serve", str(model), *fixed, *setting.more]
        health = "/health"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        try:
            _wait(url, health, process, log)
            if setting.kept:
                with gateway(url, folder / "smollm2", setting.kept) as cutting:
                    yield cutting
            else:
                yield url
        finally:
            process.terminate()
            process.wait()


def _wait(url: str, health: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + STARTS
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError), urlopen(url + health, timeout=5):
            return
        time.sleep(0.5)
    raise InputError(f"the server does not start: see {log}")


def _configured(setting: Setting, folder: Path) -> Path:
    """A checkpoint with the same weights and tokenizer and another config.json."""
    source, made = folder / "smollm2", folder / "configured"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    for path in source.iterdir():
        if path.name != "config.json":
            (made / path.name).symlink_to(path.resolve())
    config = json.loads((source / "config.json").read_text())
    (made / "config.json").write_text(json.dumps({**config, **dict(setting.flags)}))
    return made


@contextmanager
def gateway(url: str, tokenizer_folder: Path, kept: str) -> Iterator[str]:
    """A gateway that leaves `TRAINED` tokens of a text, and passes everything else on."""
    from longspan.measure.loading import load_tokenizer

    tokenizer = load_tokenizer(str(tokenizer_folder))
    cut = cuts(kept, TRAINED)

    def change(body: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(body.get("prompt"), str):
            return body
        ids = tokenizer(body["prompt"], add_special_tokens=False)["input_ids"]
        return {**body, "prompt": tokenizer.decode(cut.feed(ids, ())[0], clean_up_tokenization_spaces=False)}

    with _passing(Connection(url), change) as address:
        yield address


@contextmanager
def _passing(to: Connection, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply(lambda: to.get(self.path))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._reply(lambda: to.post(self.path, change(body)))

        def _reply(self, ask: Callable[[], Any]) -> None:
            try:
                status, found = 200, ask()
            except LongspanError as error:
                status, found = 400, {"error": str(error)}
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(found).encode())

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
