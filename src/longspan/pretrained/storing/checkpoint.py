"""Loading a checkpoint safely: where it is searched for, which files may be read, and whether all weights were used.

A checkpoint may come from anywhere. Weights are read only from safetensors and GGUF files inside it, none of its code
runs unless the caller trusts it, every weight of the model comes from it, and whatever is wrong with it raises one
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
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME
from transformers.utils.hub import cached_file
from transformers.utils.peft_utils import ADAPTER_CONFIG_NAME

from longspan.errors import LongspanError, RefusalError
from longspan.pretrained.anatomy.config import auto_class

NAMED = 3
"""How many tensors an error names before it counts the others."""


@contextmanager
def refusing(failure: str) -> Iterator[None]:
    """Turn whatever a loader raises into a RefusalError of one line that begins with `failure`.

    Errors of this library pass unchanged, and so do MemoryError and the accelerator's OutOfMemoryError.
    """
    try:
        yield
    except (LongspanError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # loaders raise anything that their parsers raise on damaged bytes
        raise RefusalError(f"{failure}: {one_line(error)}") from error


def one_line(error: BaseException) -> str:
    """Return the message of an error, shortened and printable, after its type where it may not be a sentence."""
    message = "".join(filter(str.isprintable, " ".join(str(error).split())))[:300]
    return message if message and isinstance(error, OSError | ValueError) else f"{type(error).__name__}: {message}"


# --- where it is ------------------------------------------------------------------------------------------------------


def hub_settings(source: Path | str) -> dict[str, Any]:
    """Return arguments with which transformers finds a checkpoint and asks no Hub that does not answer.

    Arguments:
        source: a folder, or a Hugging Face id; the Hub is asked once whether it has it.

    Errors: RefusalError where there is no such folder, and neither the Hub nor its local cache has such an id.
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
    """Return whether a text can only be a path: an id has at most one slash and starts with a letter or a digit."""
    return name.startswith((".", "/", "~")) or name.count("/") > 1 or name.endswith("/") or "\\" in name


def _is_cached(name: str) -> bool:
    try:
        return isinstance(try_to_load_from_cache(name, "config.json"), str)
    except ValueError:  # the name cannot be an id
        return False


# --- which files may be read ------------------------------------------------------------------------------------------


def require_safetensors(source: Path | str, config: PreTrainedConfig, settings: dict[str, Any]) -> None:
    """Refuse a checkpoint whose weights transformers would read from anything but safetensors files inside it.

    The file names come from the checkpoint itself, and transformers unpickles files whose names do not end in
    .safetensors. Only names are checked: in the cache of the Hub, files are links to other folders. A config with more
    layers than the checkpoint has tensors is refused here too, before transformers builds them all.
    """
    if find(source, ADAPTER_CONFIG_NAME, settings):
        raise RefusalError(
            f"{source} holds an adapter: load it with peft, merge it (merge_and_unload) and extend the merged model"
        )
    named = getattr(config, "transformers_weights", None)
    if named is not None:
        _require_inside(source, "config.json", named, (".safetensors", ".safetensors.index.json"))
        found = find(source, named, settings)
    else:
        found = find(source, SAFE_WEIGHTS_NAME, settings) or find(source, SAFE_WEIGHTS_INDEX_NAME, settings)
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


def find(source: Path | str, name: str, settings: dict[str, Any]) -> str | None:
    """Return the path of a file of a checkpoint; None where it has none."""
    return cached_file(source, name, _raise_exceptions_for_missing_entries=False, **settings)


def _require_inside(source: Path | str, where: str, name: Any, endings: tuple[str, ...]) -> None:
    path = PureWindowsPath(name) if isinstance(name, str) else None  # it knows both kinds of slashes
    if path is None or not path.name.endswith(endings) or path.anchor or ".." in path.parts:
        raise RefusalError(
            f"{where} of {source} names {name!r} as a file of weights: only safetensors files inside the checkpoint "
            "are read"
        )


# --- whether all weights were used ------------------------------------------------------------------------------------


def load_weights(
    folder: Path | str, name: Path | str, *, config: PreTrainedConfig, **arguments: Any
) -> PreTrainedModel:
    """Load a model with transformers, and check that each of its weights came from the checkpoint.

    Arguments:
        folder: the folder or id from which transformers loads.
        name: the name of the checkpoint in errors.
        config: of the model.
        arguments: of `from_pretrained`.

    Errors: RefusalError for weights that are missing, of another size, or unused.
    """
    loaded: Any = auto_class(config).from_pretrained(
        folder,
        config=config,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # then the report names them, and they are refused by name
        adapter_kwargs={"local_files_only": True},  # there is none, and the Hub is not asked again
        **arguments,
    )
    model, report = loaded
    _require_all_used(model, report, name)
    return model


def _require_all_used(model: PreTrainedModel, report: dict[str, Any], source: Path | str) -> None:
    """Refuse a model by the loader's report, which leaves out weights that its family may lack."""
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
    """Return the error for weights that the model does not use."""
    return RefusalError(
        f"{source} has weights that the model of its config does not use: {_some(names)}; correct the config, or load "
        "the checkpoint with transformers and extend that model if they are not wanted"
    )


def _is_inside_a_part(model: PreTrainedModel, name: str) -> bool:
    """Return whether an unused weight belongs to a part that the model has.

    A checkpoint may hold whole parts that the model does not have, such as a vision tower or a head for another task;
    the parent of such a part is a model. A layer after the model's last one, or a bias of one of its projections, is
    within a part. Buffers that the model computes itself are not weights.
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
