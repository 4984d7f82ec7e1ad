"""`save` and `load`: an extended model as a standard checkpoint.

The folder is what `save_pretrained` writes; `context_extension` in its config.json says how the model was extended.
Other fixed frequencies, which stock runtimes can express, are in `rope_parameters` as well, as a LongRoPE with equal
short and long factors. For all other extensions the folder's README says that stock loaders ignore them.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig, PreTrainedModel

from longspan.disk import new_folder, recover_folder, replaced_folder, writing
from longspan.errors import RefusalError
from longspan.pretrained.attach import extend
from longspan.pretrained.attachment import Attachment, attachment_of
from longspan.pretrained.storing.checkpoint import hub_settings, load_weights, refusing, require_safetensors
from longspan.pretrained.storing.export import stock_config
from longspan.pretrained.storing.gguf import load_gguf, load_gguf_tokenizer, read_gguf_config

FIELD = "context_extension"
VERSION = 1
ORIGINAL = ("rope_parameters", "max_position_embeddings")
"""Fields of the text model's config that may be rewritten for stock runtimes."""


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
    with writing(folder, model.get_memory_footprint()), new_folder(folder) as fresh:
        _write(model, fresh, tokenizer)
    return folder


def overwrite(model: PreTrainedModel, folder: Path, *, tokenizer: Any = None) -> Path:
    """Write a model as `save` does, over an existing folder, which is replaced once the new one is complete.

    Errors: as for `save`; the folder is then as it was before.
    """
    _require_savable(model)
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
        tokenizer.save_pretrained(folder)
    attachment = attachment_of(model)
    if attachment is not None:
        _write_extension(folder, attachment)


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
            require_safetensors(source, config, settings)
            model = load_weights(
                source,
                source,
                config=config,
                dtype=dtype or "auto",
                use_safetensors=True,
                trust_remote_code=trust_remote_code,
                **settings,
            )
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


def _write_extension(folder: Path, attachment: Attachment) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    text = _text_part(config, attachment)
    extension: dict[str, Any] = {"version": VERSION, "scheme": attachment.text, "length": attachment.length}
    stock = stock_config(attachment)
    if stock is not None:
        extension["original"] = {name: text[name] for name in ORIGINAL if name in text}
        text.update(stock)
    config[FIELD] = extension
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    (folder / "README.md").write_text(card(attachment, stock is not None))


def _text_part(config: dict[str, Any], attachment: Attachment) -> dict[str, Any]:
    """Return the part of a config file that holds the text model's fields."""
    whole: PreTrainedConfig = attachment.model.__dict__["config"]
    text = whole.get_text_config(decoder=True)
    for name in whole.sub_configs:
        if getattr(whole, name, None) is text:
            return config[name]
    return config


def card(attachment: Attachment, stock: bool) -> str:
    """Return the text of the folder's README.

    Arguments:
        stock: whether stock runtimes run the extension.
    """
    if stock:
        reach = (
            "Every runtime that reads `rope_parameters` of type `longrope` (transformers, vLLM) runs the "
            "extended model; longspan is not needed."
        )
    else:
        reach = (
            "**Stock loaders ignore the extension silently**: `AutoModelForCausalLM.from_pretrained` gives the "
            "model without it. Load it with longspan:\n\n"
            '```python\nimport longspan\nmodel = longspan.load("THIS_FOLDER")\n```'
        )
    length = f" for reading {attachment.length} tokens" if attachment.length else ""
    return f"# A model with an extended context\n\nExtended by `{attachment.text}`{length}.\n\n{reach}\n"
