"""Saving an extended model, whoever does it: Trainer, `push_to_hub` and accelerate call `save_pretrained`.

While a model is extended, its `save_pretrained` writes `context_extension` into config.json, which says how the model
was extended, and a README. Other fixed frequencies, which stock runtimes can express, are in `rope_parameters` as well,
as a LongRoPE with equal short and long factors. For all other extensions config.json names an attention implementation
that transformers without longspan does not have, so that it refuses the folder instead of loading the plain model.
"""

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedConfig, PreTrainedModel

from longspan.notation import format_value
from longspan.pretrained.running.attention import IMPLEMENTATION
from longspan.pretrained.storing.design import FIELD as DESIGN_FIELD
from longspan.pretrained.storing.design import described, without_learned, write_learned
from longspan.pretrained.storing.export import is_architecture_alone, stock_config

if TYPE_CHECKING:
    from longspan.pretrained.attachment import Attachment

FIELD = "context_extension"
VERSION = 1
ORIGINAL = ("rope_parameters", "max_position_embeddings")
"""Fields of the text model's config that may be rewritten for stock runtimes."""
HEADING = "# A model with an extended context"
TRAINED = "# A model trained with its own design"


class Keeping:
    """The `save_pretrained` of an extended model.

    Arguments:
        attachment: the extension; it is on the model already.
    """

    def __init__(self, attachment: "Attachment") -> None:
        self.attachment = attachment
        self.model = next((m for m in attachment.model.modules() if isinstance(m, PreTrainedModel)), None)

    def install(self) -> "Keeping":
        """Put it in the place of the model's own."""
        if self.model is not None:
            self.model.__dict__["save_pretrained"] = self.save_pretrained
        return self

    def remove(self) -> None:
        """Bring back the model's own."""
        if self.model is not None:
            self.model.__dict__.pop("save_pretrained", None)

    def save_pretrained(self, save_directory: Any, is_main_process: bool = True, *args: Any, **kwargs: Any) -> None:
        """Write what the model's own `save_pretrained` writes, with the extension; its arguments are the same.

        A README that somebody else wrote into the folder stays.
        """
        model = self.model
        assert model is not None
        design = self.attachment.target.design
        if design is not None and not args:
            kwargs["state_dict"] = without_learned(kwargs.get("state_dict") or model.state_dict())
        running, model.__dict__["config"] = model.__dict__["config"], stored_config(self.attachment, model)
        try:
            type(model).save_pretrained(model, save_directory, is_main_process, *args, **kwargs)
        finally:
            model.__dict__["config"] = running
        if design is not None and is_main_process:
            write_learned(Path(save_directory), model)
        page = Path(save_directory) / "README.md"
        if is_main_process and (not page.exists() or page.read_text(encoding="utf-8").startswith((HEADING, TRAINED))):
            page.write_text(card(self.attachment), encoding="utf-8")


def stored_config(attachment: "Attachment", model: PreTrainedModel) -> PreTrainedConfig:
    """Return the config of an extended model as it is written to disk."""
    config = copy.deepcopy(attachment.own_config(model))
    text = config.get_text_config(decoder=True)
    design = attachment.target.design
    if design is not None:
        setattr(config, DESIGN_FIELD, described(design, attachment.target.absolute, attachment.target.linear))
    if attachment.plan == design:
        if not is_architecture_alone(attachment):
            config.attn_implementation = IMPLEMENTATION
        return config
    extension: dict[str, Any] = {"version": VERSION, "scheme": attachment.text, "length": attachment.length}
    stock = stock_config(attachment)
    if stock is None:
        config.attn_implementation = IMPLEMENTATION
    if stock is not None:
        extension["original"] = {name: copy.deepcopy(getattr(text, name)) for name in ORIGINAL}
        for name, value in stock.items():
            setattr(text, name, value)
    setattr(config, FIELD, extension)
    return config


def card(attachment: "Attachment") -> str:
    """Return the text of the folder's README: first of all, who can run the extension."""
    length = f" for reading {attachment.length} tokens" if attachment.length else ""
    heading, what, made = HEADING, "extension", f"Extended by `{attachment.text}`{length}."
    of_design = attachment.plan == attachment.target.design
    if of_design:
        absolute = attachment.target.absolute
        beside = f" and {absolute.name} positions added to embeddings" if absolute else ""
        linear = attachment.target.linear
        beside += f" and projections `{format_value(linear, linear.name)}`" if linear else ""
        heading, what, made = TRAINED, "design", f"Trained with `{attachment.text}`{beside}."
    if of_design and is_architecture_alone(attachment):
        reach = (
            "The design is the architecture's own: every runtime that has it runs the model; longspan is not needed."
        )
        return f"{heading}\n\n{reach}\n\n{made}\n"
    if not of_design and stock_config(attachment) is not None:
        reach = (
            "Every runtime that reads `rope_parameters` of type `longrope` (transformers, vLLM) runs the "
            "extended model; longspan is not needed."
        )
        return f"{heading}\n\n{reach}\n\n{made}\n"
    reach = (
        f"**Load it with longspan.** Other runtimes do not know the {what}: `from_pretrained` of transformers "
        'refuses this folder (`attn_implementation="sdpa"` gives the plain model), and vLLM, SGLang and llama.cpp run '
        "the plain model silently.\n\n"
        '```python\nimport longspan\nmodel = longspan.load("THIS_FOLDER")\n```'
    )
    return f"{heading}\n\n{reach}\n\n{made}\n"
