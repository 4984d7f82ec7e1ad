"""What a checkpoint may hold, where it is looked for, and what a loader must have made of it.

A checkpoint may come from anywhere. Weights are read from safetensors and GGUF files of its own, nothing in it runs
unless the caller trusts its code, every weight of the model comes from it, and whatever is wrong with it is one
`RefusalError` of one line.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath
from typing import Any

import torch
from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from safetensors import safe_open
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME
from transformers.utils.hub import cached_file
from transformers.utils.peft_utils import ADAPTER_CONFIG_NAME

from longspan.errors import LongspanError, RefusalError

NAMED = 3
"""Tensors that an error names before it counts the rest."""


@contextmanager
def refusing(failure: str) -> Iterator[None]:
    """Turn whatever a loader raises into a RefusalError of one line that begins with `failure`.

    Errors of this library pass unchanged, and so do MemoryError and the accelerator's OutOfMemoryError.
    """
    try:
        yield
    except (LongspanError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # loaders raise whatever their parsers do on bytes that make no sense
        raise RefusalError(f"{failure}: {one_line(error)}") from error


def one_line(error: BaseException) -> str:
    """The message of an error, shortened and printable, after its type where the message may not be a sentence."""
    message = "".join(filter(str.isprintable, " ".join(str(error).split())))[:300]
    return message if message and isinstance(error, OSError | ValueError) else f"{type(error).__name__}: {message}"


# --- where it is ------------------------------------------------------------------------------------------------------


def hub_settings(source: Path | str) -> dict[str, Any]:
    """Arguments under which transformers finds a checkpoint without asking a Hub that does not answer.

    Arguments:
        source: a folder, or a Hugging Face id, about which the Hub is asked once.

    Errors: RefusalError where there is no such folder, and neither the Hub nor its cache here has such an id.
    """
    path, name = Path(source), str(source)
    if path.is_dir():
        return {}
    if path.exists():
        raise RefusalError(f"{name} is a file: give the folder that holds it, or a .gguf file")
    if _is_path(name):
        raise RefusalError(f"there is no folder {name}: give a folder, a .gguf file or a Hugging Face id")
    try:
        get_hf_file_metadata(hf_hub_url(name, "config.json"))
    except Exception as error:  # from a bad id to a broken connection
        if _is_cached(name):
            return {"local_files_only": True}
        raise RefusalError(
            f"there is no folder {name}, and the Hugging Face Hub gave no model of that name: {one_line(error)}"
        ) from error
    return {}


def _is_path(name: str) -> bool:
    """Whether a text can only be meant as a path: an id has at most one slash and starts with a letter or a digit."""
    return name.startswith((".", "/", "~")) or name.count("/") > 1 or name.endswith("/") or "\\" in name


def _is_cached(name: str) -> bool:
    try:
        return isinstance(try_to_load_from_cache(name, "config.json"), str)
    except ValueError:  # the name is no id
        return False


# --- what is read of it -----------------------------------------------------------------------------------------------


def require_safetensors(source: Path | str, config: PreTrainedConfig, settings: dict[str, Any]) -> None:
    """Refuse a checkpoint whose weights transformers would read from anything but safetensors files inside it.

    The file names come from the checkpoint itself, and transformers unpickles what does not end in .safetensors.
    Only names are judged: in the cache of the Hub, files are links to places outside the folder. A config with more
    layers than the checkpoint has tensors is refused here too, before transformers builds them all.
    """
    if _find(source, ADAPTER_CONFIG_NAME, settings):
        raise RefusalError(
            f"{source} holds an adapter: load it with peft, merge it (merge_and_unload) and extend the merged model"
        )
    named = getattr(config, "transformers_weights", None)
    if named is not None:
        _require_inside(source, "config.json", named, (".safetensors", ".safetensors.index.json"))
        found = _find(source, named, settings)
    else:
        found = _find(source, SAFE_WEIGHTS_NAME, settings) or _find(source, SAFE_WEIGHTS_INDEX_NAME, settings)
    if found is None:
        raise RefusalError(f"cannot load {source}: it has no {named or SAFE_WEIGHTS_NAME}, and no other format is read")
    if found.endswith(".json"):
        tensors = json.loads(Path(found).read_text(encoding="utf-8"))["weight_map"]
        for name in tensors.values():
            _require_inside(source, Path(found).name, name, (".safetensors",))
    else:
        with safe_open(found, framework="pt") as file:
            tensors = file.keys()
    layers = getattr(config.get_text_config(decoder=True), "num_hidden_layers", None)
    if isinstance(layers, int) and layers > len(tensors):
        raise RefusalError(
            f"the config of {source} has {layers} layers and its weights are only {len(tensors)} tensors: correct "
            "num_hidden_layers"
        )


def _find(source: Path | str, name: str, settings: dict[str, Any]) -> str | None:
    return cached_file(source, name, _raise_exceptions_for_missing_entries=False, **settings)


def _require_inside(source: Path | str, where: str, name: Any, endings: tuple[str, ...]) -> None:
    path = PureWindowsPath(name) if isinstance(name, str) else None  # it knows both kinds of slashes
    if path is None or not path.name.endswith(endings) or path.anchor or ".." in path.parts:
        raise RefusalError(
            f"{where} of {source} names {name!r} as a file of weights: only safetensors files inside the checkpoint "
            "are read"
        )


# --- what became of it ------------------------------------------------------------------------------------------------


def load_weights(folder: Path | str, name: Path | str, **arguments: Any) -> PreTrainedModel:
    """The model that transformers loads, every weight of which came from its checkpoint.

    Arguments:
        folder: what transformers loads from.
        name: what an error calls the checkpoint.
        arguments: of `from_pretrained`.

    Errors: RefusalError for weights that are missing, of another size, or without a place in the model.
    """
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        folder,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # so that they are reported, and refused with their names
        adapter_kwargs={"local_files_only": True},  # there is none, and the Hub is not asked again
        **arguments,
    )
    model, report = loaded
    _require_all_used(model, report, name)
    return model


def _require_all_used(model: PreTrainedModel, report: dict[str, Any], source: Path | str) -> None:
    """Refuse a model by the loader's report, which does not list weights that its family may lack."""
    if report["missing_keys"]:
        raise RefusalError(
            f"{source} lacks weights of the model that its config describes: {_some(report['missing_keys'])}; "
            "they would be random numbers: fetch the checkpoint again, or correct its config"
        )
    if report["mismatched_keys"]:
        sizes = [f"{name} is {tuple(has)}, not {tuple(needs)}" for name, has, needs in report["mismatched_keys"]]
        raise RefusalError(
            f"the weights in {source} do not have the sizes of the model that its config describes: {_some(sizes)}; "
            "fetch the checkpoint again, or correct its config"
        )
    unused = [name for name in report["unexpected_keys"] if _is_inside_a_part(model, name)]
    if unused:
        raise unused_weights(source, unused)


def unused_weights(source: Path | str, names: Iterable[str]) -> RefusalError:
    """The error for weights that the model has no place for."""
    return RefusalError(
        f"{source} has weights that the model of its config does not use: {_some(names)}; correct the config, or load "
        "the checkpoint with transformers and extend that model if they are not wanted"
    )


def _is_inside_a_part(model: PreTrainedModel, name: str) -> bool:
    """Whether an unused weight belongs to a part that the model has.

    A checkpoint may hold whole parts that the model does not have, such as a vision tower or a head for another task:
    the parent of such a part is a model. The model should use a layer beyond its last, or a bias of a projection that
    it has. Buffers that the model computes itself are not weights.
    """
    modules = dict(model.named_modules())
    buffers = {buffer for buffer, _ in model.named_buffers()}
    for whole in (name, f"{model.base_model_prefix}.{name}"):  # a checkpoint may hold the model without its head
        parents = (whole.rsplit(".", dots)[0] for dots in range(1, whole.count(".") + 1))
        parent = next((parent for parent in parents if parent in modules), "")
        if not isinstance(modules[parent], PreTrainedModel):
            return whole not in buffers
    return False


def _some(names: Iterable[str]) -> str:
    ordered = sorted(name if name.isprintable() else repr(name) for name in names)
    rest = f" and {len(ordered) - NAMED} more" if len(ordered) > NAMED else ""
    return ", ".join(ordered[:NAMED]) + rest
