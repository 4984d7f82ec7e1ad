"""`save` and `load`: an extended model as a standard checkpoint.

The folder is what `save_pretrained` of an extended model writes (`keeping.py`), in one step and never over another one.
"""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig, PreTrainedModel

from longspan.disk import new_folder, recover_folder, replaced_folder, require_room, writing
from longspan.errors import RefusalError
from longspan.pretrained.attach import design, extend
from longspan.pretrained.attachment import attachment_of
from longspan.pretrained.running.attention import IMPLEMENTATION
from longspan.pretrained.storing.checkpoint import find, hub_settings, load_weights, refusing, require_safetensors
from longspan.pretrained.storing.design import FILE as LEARNED_FILE
from longspan.pretrained.storing.design import load_learned, take_design
from longspan.pretrained.storing.gguf import load_gguf, load_gguf_tokenizer, read_gguf_config
from longspan.pretrained.storing.keeping import FIELD, ORIGINAL, VERSION
from longspan.pretrained.storing.mixed import has_own_modules, load_mixed


def save(model: PreTrainedModel, folder: Path | str, *, tokenizer: Any = None) -> Path:
    """Write a model with its extension into a new folder.

    Arguments:
        tokenizer: saved in the same folder where it is given.

    Errors: RefusalError where the folder is not empty, the model is a wrapper that must be merged first, or its weights
    can no longer be written as they were loaded; InputError where the folder cannot be written. After an error there is
    no new folder.
    """
    folder = Path(folder)
    with writing(folder):
        recover_folder(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RefusalError(f"{folder} exists already: choose another folder")
    _require_savable(model)
    require_room(folder, model.get_memory_footprint())
    with writing(folder, model.get_memory_footprint()), new_folder(folder) as fresh:
        _write(model, fresh, tokenizer)
    return folder


def overwrite(model: PreTrainedModel, folder: Path, *, tokenizer: Any = None) -> Path:
    """Write a model as `save` does, over an existing folder, which is replaced once the new one is complete.

    Errors: as for `save`; the folder is then as it was before.
    """
    _require_savable(model)
    require_room(folder, model.get_memory_footprint())
    with writing(folder, model.get_memory_footprint()), replaced_folder(folder) as fresh:
        _write(model, fresh, tokenizer)
    return folder


def _require_savable(model: PreTrainedModel) -> None:
    if not isinstance(model, PreTrainedModel):
        raise RefusalError(f"{type(model).__name__} wraps a model: merge it first (merge_and_unload), then save")
    if any(map(_packed, model.modules())):
        raise RefusalError(
            "bitsandbytes has packed these weights for this processor and would write them wrongly: extend and save "
            "the checkpoint they came from, and quantize when you load that"
        )


def _write(model: PreTrainedModel, folder: Path, tokenizer: Any) -> None:
    model.save_pretrained(folder)
    if tokenizer is not None:
        attachment = attachment_of(model)
        announced = attachment.announced if attachment is not None else None
        with announced.named_by(tokenizer) if announced is not None else nullcontext():
            tokenizer.save_pretrained(folder)


def _packed(module: nn.Module) -> bool:
    """Return whether a 4-bit layer has run on a CPU, which puts its scales in an order that no loader understands."""
    state = getattr(getattr(module, "weight", None), "quant_state", None)
    return bool(getattr(state, "packing_format_for_cpu", False))


def load(
    source: Path | str,
    scheme: str | None = None,
    *,
    length: int | None = None,
    dtype: torch.dtype | None = None,
    backend: str = "auto",
    trust_remote_code: bool = False,
) -> PreTrainedModel:
    """Load a model, with the extension that it was saved with.

    Arguments:
        source: a folder, a .gguf file or a Hugging Face id.
        scheme: an extension in the place of the saved one.
        length: tokens to read.
        dtype: of the weights; where it is not given, as they are stored (float32 for GGUF).
        backend: the name of a backend of `attend`.
        trust_remote_code: whether code that comes with the checkpoint may run.

    Errors: RefusalError for a source that does not exist, for weights other than safetensors and GGUF, for a damaged
    file, for weights that do not fit the config, and for an extension that a newer longspan wrote.
    """
    with refusing(f"cannot load {source}"):
        if _is_gguf(source):
            model, extension = load_gguf(Path(source), dtype), None
        else:
            settings = hub_settings(source)
            config, extension = _config(source, trust_remote_code, settings)
            trained = take_design(config, source)
            require_safetensors(source, config, settings)
            if trained is not None and has_own_modules(trained):
                model = load_mixed(source, config, trained, settings, dtype, backend)
            else:
                model = load_weights(
                    source,
                    source,
                    config=config,
                    dtype=dtype or "auto",
                    use_safetensors=True,
                    trust_remote_code=trust_remote_code,
                    **settings,
                )
                if trained is not None:
                    design(model, trained.plan, absolute=trained.absolute, backend=backend)
            if trained is not None:
                load_learned(model, find(source, LEARNED_FILE, settings), source)
        if scheme is None and extension is not None:
            scheme, length = extension["scheme"], length or extension.get("length")
        return model if scheme is None else extend(model, scheme, length=length, backend=backend)


def read_config(
    source: Path | str, *, trust_remote_code: bool = False
) -> tuple[PreTrainedConfig, dict[str, Any] | None]:
    """Return the config of a model without its extension, and the extension that it was saved with, if any.

    Errors: RefusalError where no config can be read.
    """
    with refusing(f"cannot read the config of {source}"):
        if _is_gguf(source):
            return read_gguf_config(Path(source)), None
        return _config(source, trust_remote_code, hub_settings(source))


def _config(
    source: Path | str, trust_remote_code: bool, settings: dict[str, Any]
) -> tuple[PreTrainedConfig, dict[str, Any] | None]:
    config = AutoConfig.from_pretrained(source, trust_remote_code=trust_remote_code, **settings)
    return config, _take_extension(config, source)


def load_tokenizer(source: Path | str, *, trust_remote_code: bool = False) -> Any:
    """Load the tokenizer of a folder, a .gguf file or a Hugging Face id.

    Errors: RefusalError where no tokenizer can be read.
    """
    with refusing(f"cannot load the tokenizer of {source}"):
        if _is_gguf(source):
            return load_gguf_tokenizer(Path(source))
        return AutoTokenizer.from_pretrained(source, trust_remote_code=trust_remote_code, **hub_settings(source))


def _is_gguf(source: Path | str) -> bool:
    return Path(source).suffix == ".gguf"


def _take_extension(config: PreTrainedConfig, source: Path | str) -> dict[str, Any] | None:
    """Return the saved extension and remove it from the config, which is then that of the model without it."""
    extension = getattr(config, FIELD, None)
    if config._attn_implementation == IMPLEMENTATION:  # what keeps other loaders away
        config._attn_implementation = None
    if extension is None:
        return None
    _check_extension(extension, source)
    delattr(config, FIELD)
    text = config.get_text_config(decoder=True)
    for name, value in extension.get("original", {}).items():
        setattr(text, name, value)
    return extension


def _check_extension(extension: Any, source: Path | str) -> None:
    """Refuse an extension that `save` cannot have written, because its values go into the model's config."""
    version = extension.get("version") if isinstance(extension, dict) else None
    if not isinstance(version, int) or not _is_count(version):
        raise RefusalError(f"{FIELD} in the config of {source} was not written by longspan: it has no version")
    if version > VERSION:
        raise RefusalError(
            f"{source} was extended by a newer longspan (version {version} of {FIELD}, this one reads up to "
            f"{VERSION}): update longspan"
        )
    scheme, length, original = extension.get("scheme"), extension.get("length"), extension.get("original", {})
    if not isinstance(scheme, str) or not (length is None or _is_count(length)):
        raise RefusalError(
            f"{FIELD} in the config of {source} must name a scheme, and a length in tokens or null: "
            f"got {scheme!r:.100} and {length!r:.100}"
        )
    if not isinstance(original, dict) or not original.keys() <= set(ORIGINAL):
        raise RefusalError(
            f"{FIELD} in the config of {source} may bring back {' and '.join(ORIGINAL)} and nothing else: "
            f"got {original!r:.100}"
        )
    if not isinstance(original.get(ORIGINAL[0], {}), dict) or not _is_count(original.get(ORIGINAL[1], 1)):
        raise RefusalError(f"{FIELD} in the config of {source} brings back values of a wrong type: {original!r:.100}")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
