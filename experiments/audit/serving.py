"""Start the servers: llama.cpp's, transformers' own, and a gateway before either that cuts long texts."""

import json
import os
import shutil
import socket
import subprocess
import sys
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
from settings import CHANNELS, LLAMA_CPP, THETA, TRAINED, Setting

from longspan.audit.blackbox.http import Connection
from longspan.audit.blackbox.prompt import Feeding
from longspan.errors import InputError, LongspanError
from longspan.rotation.yarn import YaRN

STARTS = 300.0
"""Seconds within which a server must answer."""
CONTEXT = 1024
HERE = Path(__file__).parent


def prepare(source: Path, folder: Path) -> None:
    """Write what is loaded: the local model, which promises `TRAINED` tokens, and that of each server.

    llama.cpp's server reads no more tokens than its file promises, so that its file promises all 8192.
    """
    plain = folder / "smollm2.gguf"
    if not plain.exists():
        partial = folder / "partial.gguf"
        shutil.copyfile(source, partial)
        reader = GGUFReader(partial, "r+")
        field = reader.fields["llama.context_length"]
        field.parts[field.data[0]][0] = TRAINED
        reader.data.flush()
        partial.rename(plain)
    served, factors = folder / "served.gguf", folder / "served-factors.gguf"
    if not served.exists():
        served.symlink_to(source.resolve())
    if not factors.exists():
        asked = YaRN(4.0, TRAINED, theta=THETA)
        ratios = (asked.original(CHANNELS) / asked.frequencies(CHANNELS)).numpy()
        _copied(served, factors, factors=ratios.astype(np.float32))
    if not (folder / "smollm2").exists():
        from longspan.measure.models.loading import load, load_tokenizer

        shutil.rmtree(folder / "partial", ignore_errors=True)
        load(str(plain), "float32").save_pretrained(folder / "partial")
        load_tokenizer(str(plain)).save_pretrained(folder / "partial")
        (folder / "partial").rename(folder / "smollm2")


def _copied(source: Path, to: Path, factors: Any = None, gain: float | None = None) -> None:
    """Copy a GGUF file and add a tensor of rope factors, as files of Llama 3.1 have it, or an attention factor."""
    reader = GGUFReader(source)
    partial = to.with_name("partial.gguf")
    writer = GGUFWriter(partial, "llama")
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        inner = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), field.types[0], inner)
    if gain is not None:
        writer.add_float32("llama.rope.scaling.attn_factor", gain)
    if factors is not None:
        writer.add_tensor("rope_freqs.weight", factors)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    partial.rename(to)


@contextmanager
def started(setting: Setting, folder: Path, serving: str, log: Path) -> Iterator[str]:
    """Start a server, wait until it answers, and end it with the context.

    Arguments:
        folder: what `prepare` wrote.
        serving: the `transformers` program, with what its `serving` extra needs.
    """
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    if setting.server == LLAMA_CPP:
        model = folder / f"served{setting.model}.gguf"
        if setting.gain is not None:
            model = folder / "served-gain.gguf"
            _copied(folder / "served.gguf", model, gain=setting.gain)
        fixed = {"model": str(model), "port": port, "threads": 1, "n_ctx": CONTEXT, "fit_params": False}
        command = [sys.executable, str(HERE / "llama_server.py"), json.dumps({**fixed, **dict(setting.flags)})]
        health = "/health"
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
    from longspan.measure.models.loading import load_tokenizer

    tokenizer = load_tokenizer(str(tokenizer_folder))
    half = TRAINED // 2
    cut = {"last": Feeding(back=TRAINED), "first": Feeding(TRAINED, 0), "middle": Feeding(half, half)}[kept]

    def change(body: dict[str, Any]) -> dict[str, Any]:
        prompt = body.get("prompt")
        if isinstance(prompt, list):
            return {**body, "prompt": cut.feed(prompt, ())[0]}
        if not isinstance(prompt, str):
            return body
        ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
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
