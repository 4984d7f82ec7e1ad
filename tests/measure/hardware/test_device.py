"""Devices, on a machine without a GPU: what torch says of them is imitated; moving and spreading are watched."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import dispatch_model

from longspan.errors import InputError
from longspan.measure.hardware import device as module
from longspan.measure.hardware.cost import Cost
from longspan.measure.hardware.device import device_named, placed
from longspan.measure.hardware.machine import hardware
from longspan.measure.hardware.memory import available, device_of, require_memory
from longspan.measure.models.loading import load
from longspan.measure.models.model import LoadedModel
from longspan.measure.reading.reader import Reader
from longspan.measure.reading.token_nll import token_nll
from tiny import llama, words_tokenizer


def with_gpus(monkeypatch: pytest.MonkeyPatch, *free: int) -> None:
    """Let torch say that there are GPUs with so many free bytes."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(free))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(free))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free[torch.device(device).index or 0], 2**40))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"Imitation {torch.device(device).index or 0}")


def test_auto_takes_a_gpu_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert device_named("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert device_named("auto") == device_named("mps") == torch.device("mps")
    with_gpus(monkeypatch, 10, 10)
    assert device_named("auto") == torch.device("cuda")
    assert device_named("cuda:1") == torch.device("cuda:1")
    assert device_named("cpu") == torch.device("cpu")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("gpu", "--device must be auto, cpu, cuda, cuda:1 or mps, got 'gpu'"),
        ("cpu:1", "--device must be"),
        ("cuda:x", "--device must be"),
        ("", "--device must be"),
        ("cuda:2", "--device cuda:2: there is no such GPU; there are cuda:0, cuda:1"),
        ("mps", "--device mps: this machine has no GPU"),
    ],
)
def test_a_device_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch, asked: str, words: str) -> None:
    with_gpus(monkeypatch, 10, 10)
    with pytest.raises(InputError, match=words) as raised:
        device_named(asked)
    assert "\n" not in str(raised.value)


def test_a_torch_without_cuda_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch)
    with pytest.raises(InputError, match=r"torch .* finds no CUDA GPU; give --device cpu"):
        device_named("cuda")


class Moved(SimpleNamespace):
    """Stands for a model of so many bytes, and notes where it is moved."""

    def __init__(self, size: int) -> None:
        super().__init__(size=size, moves=[])

    def get_memory_footprint(self) -> int:
        return self.size

    def to(self, device: torch.device) -> "Moved":
        self.moves.append(device)
        return self


def test_a_model_that_fits_is_moved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, 2**30, 2**34)
    model = Moved(2**33)
    assert placed(model, torch.device("cuda:1")) is model
    assert model.moves == [torch.device("cuda:1")]
    assert placed(Moved(2**50), torch.device("cpu")).moves == []


def test_a_model_that_does_not_fit_is_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over all GPUs and the main memory; over the one GPU where one was named."""
    seen: list[dict[int | str, int]] = []

    def inferred(model: Any, max_memory: dict[int | str, int], no_split_module_classes: list[str]) -> dict[str, Any]:
        seen.append(max_memory)
        assert no_split_module_classes == ["LlamaDecoderLayer"]
        return {"": "cpu"}

    monkeypatch.setattr("accelerate.infer_auto_device_map", inferred)
    monkeypatch.setattr("accelerate.dispatch_model", lambda model, places: (model, places))
    model = llama(60)
    size = model.get_memory_footprint()
    with_gpus(monkeypatch, module.WORKING + size - 1, module.WORKING + 7)
    assert placed(model, torch.device("cuda")) == (model, {"": "cpu"})
    placed(model, torch.device("cuda:1"))
    assert [{key: room[key] for key in room if key != "cpu"} for room in seen] == [{0: size - 1, 1: 7}, {1: 7}]
    assert all(room["cpu"] > 0 for room in seen)


def test_a_model_that_fits_nowhere_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, module.WORKING)
    monkeypatch.setattr("accelerate.infer_auto_device_map", lambda *_, **__: {"": "disk"})
    with pytest.raises(InputError, match="try --dtype bfloat16, or a smaller model"):
        placed(llama(60), torch.device("cuda"))


def test_the_memory_of_the_gpu_itself_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, 5, 2**40)
    assert available(torch.device("cuda:0")) == 5
    assert available(torch.device("cuda:1")) == 2**40
    model = llama(60)
    monkeypatch.setattr("longspan.measure.hardware.memory.device_of", lambda _: torch.device("cuda:0"))
    with pytest.raises(InputError, match=r"0\.0 GiB are free"):
        require_memory(model, 4096, 64)


def test_results_name_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, 5, 5)
    assert hardware(torch.device("cuda:1")) == "Imitation 1, cuda:1"
    assert hardware(torch.device("cpu")) == hardware()
    assert "threads" in hardware()


def test_cost_on_a_gpu_is_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[tuple[str, torch.device]] = []
    for name in ("synchronize", "reset_peak_memory_stats", "max_memory_allocated"):
        monkeypatch.setattr(torch.cuda, name, lambda device, name=name: called.append((name, device)) or 77)
    with Cost(torch.device("cuda:1")) as cost:
        pass
    assert cost.peak_bytes == 77
    assert [name for name, _ in called] == [
        "synchronize",
        "reset_peak_memory_stats",
        "synchronize",
        "max_memory_allocated",
    ]
    assert {device for _, device in called} == {torch.device("cuda:1")}
    called.clear()
    with_gpus(monkeypatch, 5)
    with Cost(torch.device("cpu")) as cost:
        pass
    assert called == []
    assert cost.peak_bytes > 2**20


def test_a_spread_model_is_the_model(tmp_path: Path) -> None:
    """Spread over main memory and disk, for want of GPUs: the same losses."""
    tokenizer = words_tokenizer()
    whole = LoadedModel(llama(len(tokenizer)), tokenizer)
    ids = whole.reader.ids(range(2, 90))
    expected = token_nll(whole.reader, ids)
    places: dict[str, str | int | torch.device]
    places = {"model.embed_tokens": "disk", "model.layers.0": "cpu", "model.layers.1": "disk"}
    places |= {"model.rotary_emb": "cpu", "model.norm": "disk", "lm_head": "disk"}
    away = dispatch_model(llama(len(tokenizer)), places, main_device=torch.device("cpu"), offload_dir=str(tmp_path))
    assert device_of(away) == torch.device("cpu")
    torch.testing.assert_close(token_nll(Reader(away), ids), expected)


def test_the_fingerprint_is_that_of_the_whole_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is taken before a model is spread, whose numbers are then partly elsewhere."""

    def emptied(model: Any, device: torch.device) -> Any:
        with torch.no_grad():
            for weight in model.parameters():
                weight.zero_()
        return model

    tokenizer = words_tokenizer()
    whole = LoadedModel(llama(len(tokenizer)), tokenizer).fingerprint
    monkeypatch.setattr("longspan.measure.models.model.placed", emptied)
    assert LoadedModel(llama(len(tokenizer)), tokenizer, torch.device("cpu")).fingerprint == whole


def test_ids_of_a_spread_model_go_to_its_first_gpu() -> None:
    for places, expected in (
        ({"a": "cpu", "b": 1, "c": 0}, "cuda:1"),
        ({"a": 0, "b": "disk"}, "cuda:0"),
        ({"a": torch.device("cuda:2")}, "cuda:2"),
    ):
        assert device_of(SimpleNamespace(hf_device_map=places)) == torch.device(expected)


def test_a_loaded_model_is_placed_where_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[torch.device] = []
    monkeypatch.setattr("longspan.measure.models.model.placed", lambda model, device: asked.append(device) or model)
    with_gpus(monkeypatch)
    LoadedModel.load("bundled", "float32")
    LoadedModel.load("bundled", "float32", "cpu")
    assert asked == [torch.device("cpu")] * 2
    with pytest.raises(InputError, match="finds no CUDA GPU"):
        LoadedModel.load("there is no such model: the device is looked at first", "float32", "cuda")
    assert load("bundled").get_input_embeddings().weight.device == torch.device("cpu")
