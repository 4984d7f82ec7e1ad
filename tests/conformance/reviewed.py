"""What has been looked at by a person: the methods of the table, the reasons of refusal, what cannot be built."""

import re

METHODS = (
    "linear(factor=2)",
    "ntk(factor=2, variant=fixed)",
    "ntk(factor=2, variant=aware)",
    "ntk_mixed(factor=2)",
    "ntk_by_parts(factor=2)",
    "dynamic_ntk",
    "yarn(factor=2)",
    "longrope(factor=2)",
    "llama3(factor=2)",
    "rerope(window=6)",
    "leaky_rerope(window=6, k=2)",
    "self_extend(window=6, group=2)",
    "dual_chunk(chunk=12, local=4)",
    "window(size=8)",
    "window(size=8, sinks=2)",
    "streaming_llm(sinks=2, size=10)",
    "lm_infinite(window=8, sinks=2)",
    "log_length(trained_length=8)",
    "rerope(window=6) + log_length(trained_length=8)",
    "yarn(factor=2) + log_length(trained_length=8) + window(size=12)",
)
"""Every kind of change, and sums of them; sizes that fit tiny models."""

NO_ROTATION = "has no rotary position embedding"
"""What the refusal of a model without rotation says."""

REASONS = {
    "no rotary module": NO_ROTATION,
    "attention of its own": "does not call attention through",
    "unknown rotation": "none of the known layouts|takes no position_ids",
    "works on its masks": "works on its masks itself|more than causality|more than a direction|a ready mask tensor",
    "far layers do not rotate": "do not rotate with position",
    "only sliding layers": "every attention layer of this model has a sliding window",
    "follows the length": "changes its own frequencies with the length",
    "no theta": "names no rope_theta",
    "no trained length": "has no max_position_embeddings",
    "no gain": "has no gain",
}
"""The reviewed list: what a refusal may be, and how to know its message."""

MEANING = {
    "no rotary module": "it rotates by a table of sines inside its attention: there is no module that could be steered",
    "attention of its own": "the model computes attention itself and not through transformers' interface",
    "unknown rotation": "its channels rotate in a way that none of the known layouts explains",
    "works on its masks": "it works on its masks itself (sparse attention, image blocks, patches)",
    "far layers do not rotate": "the layers that see everything do not rotate: there are no distances to change",
    "only sliding layers": "every layer has a sliding window: there is nothing to extend",
    "follows the length": "its frequencies change with the length of the call, which no cache can follow",
    "no theta": "its config names no base of the frequencies, which the method rescales",
    "no trained length": "its config names no length that the model was trained on",
    "no gain": "its rotary module has no factor on cosine and sine, which the method needs",
}

IN_LAYER = ("codegen", "gptj", "roformer")
"""Types that rotate by a table of sines inside their attention, without a rotary module that could be steered."""

UNBUILT = {
    "gemma3n": "its vision tower needs the package timm; gemma3n_text, its text model, is in the table",
    "gemma4_assistant": "drafts for another model from that model's cache, and cannot run alone",
    "gemma4_unified_assistant": "drafts for another model from that model's cache, and cannot run alone",
    "musicgen": "its decoder of sounds cannot be built as a causal language model; without rotation",
    "musicgen_melody": "its decoder of sounds cannot be built as a causal language model; without rotation",
}
"""Types of which no model can be built and run alone, and why."""


def reason(message: str) -> str | None:
    """The reviewed reason that a refusal gives; None where nobody has reviewed it."""
    return next((name for name, pattern in REASONS.items() if re.search(pattern, message)), None)
