"""What the servers are started with: settings that break position handling, and settings that do not.

All start from SmolLM2-135M-Instruct whose config promises `TRAINED` tokens, so that texts beyond it are short.
"""

from dataclasses import dataclass, replace
from math import log

TRAINED = 64
"""Tokens that the config promises; the model itself was trained on 8192."""
RAISED = 4 * TRAINED
"""What `max_position_embeddings` is raised to for a factor of 4."""
LENGTH = 160
"""Tokens of the text: 64 within the promised length, 96 beyond."""
THETA = 100_000.0
CHANNELS = 64
GAIN = 0.1 * log(4) + 1
"""YaRN's attention factor for factor 4."""

LLAMA_CPP, TRANSFORMERS = "llama.cpp's server", "transformers serve"


@dataclass(frozen=True)
class Setting:
    """One way to start a server, what it was meant to do, and what it does.

    Arguments:
        name: what is set, in words.
        server: which program serves.
        expect: the scheme that the user meant.
        truth: a part of the hypothesis that names what the server does; empty where it does what was meant.
        flags: of llama.cpp, by the names of `common_params`; of transformers serve the fields of config.json.
        more: command-line options of transformers serve.
        model: the GGUF file, by its suffix.
        gain: `rope.scaling.attn_factor` of the GGUF file; llama.cpp overwrites what its flag says. None to write none.
        kept: how the gateway before the server cuts long texts: "last", "first" or "middle"; empty for none.
        length: of the text, tokens.
    """

    name: str
    server: str
    expect: str
    truth: str = ""
    flags: tuple[tuple[str, object], ...] = ()
    more: tuple[str, ...] = ()
    model: str = ""
    gain: float | None = None
    kept: str = ""
    length: int = LENGTH

    @property
    def key(self) -> str:
        """The name of its record."""
        return f"{self.server}: {self.name}; meant {self.expect}"


def llama(
    name: str,
    expect: str,
    truth: str = "",
    model: str = "",
    gain: float | None = None,
    kept: str = "",
    **flags: object,
) -> Setting:
    """A setting of llama.cpp's server."""
    return Setting(name, LLAMA_CPP, expect, truth, tuple(flags.items()), (), model, gain, kept)


def yarn(factor: float = 4.0, original: int = TRAINED, **flags: object) -> dict[str, object]:
    """llama.cpp's flags for YaRN."""
    return {"rope_scaling_type": 2, "rope_freq_scale": 1 / factor, "yarn_orig_ctx": original, **flags}


def linear(factor: float) -> dict[str, object]:
    """llama.cpp's flags for linear interpolation."""
    return {"rope_scaling_type": 1, "rope_freq_scale": 1 / factor}


def ntk(factor: float) -> dict[str, object]:
    """llama.cpp has no NTK-aware scaling: users compute the base."""
    return {"rope_freq_base": THETA * factor ** (CHANNELS / (CHANNELS - 2))}


YARN4 = "yarn(factor=4)"
NTK4 = "ntk(factor=4)"
LINEAR2 = "linear(factor=2)"
PLAIN = "plain"

BROKEN = (
    llama("no flag at all", YARN4, "plain"),
    llama("linear in place of YaRN", YARN4, "linear(factor=4)", **linear(4)),
    # With this factor llama.cpp's server promises 128 tokens and refuses more.
    replace(llama("half the factor", YARN4, "factor 2, the half", **yarn(2)), length=120),
    llama("twice the factor", YARN4, "factor 8, the double", **yarn(8)),
    llama("the factor squared", YARN4, "factor 16, the square", **yarn(16)),
    llama(f"original length {RAISED} for {TRAINED}", YARN4, f"original length {RAISED}", **yarn(original=RAISED)),
    llama("attention factor missing", YARN4, "attention factor is missing", gain=1 / GAIN, **yarn()),
    llama("attention factor twice", YARN4, "attention factor is applied twice", gain=GAIN, **yarn()),
    llama("base 10 000", YARN4, "rope_theta 10000 ", **yarn(rope_freq_base=10_000)),
    llama("base 1 000 000", YARN4, "rope_theta 1e+06", **yarn(rope_freq_base=1_000_000)),
    llama("NTK-aware base in place of YaRN", YARN4, "ntk(factor=4)", **ntk(4)),
    llama("YaRN on a file with rope factors", YARN4, "rescaled twice", model="-factors", **yarn()),
    llama("extrapolation switched off", YARN4, "linear(factor=4)", **yarn(yarn_ext_factor=0)),
    llama(f"gateway keeps the last {TRAINED} tokens", YARN4, f"cut to the last {TRAINED}", kept="last", **yarn()),
    llama(f"gateway keeps the first {TRAINED} tokens", YARN4, f"cut to the first {TRAINED}", kept="first", **yarn()),
    llama("gateway cuts out the middle", YARN4, f"middle is cut out, {TRAINED}", kept="middle", **yarn()),
    llama("no flag at all", LINEAR2, "plain"),
    llama("twice the factor", LINEAR2, "factor 4, the double", **linear(4)),
    llama("a factor that nobody wanted", PLAIN, "linear(factor=2)", **linear(2)),
    llama("base 10 000", PLAIN, "rope_theta 10000 ", rope_freq_base=10_000),
    llama("YaRN that nobody wanted", PLAIN, "yarn(factor=4)", **yarn()),
    llama("no flag at all", NTK4, "plain"),
)

RIGHT: tuple[tuple[str, dict[str, object]], ...] = (
    (YARN4, yarn()),
    (LINEAR2, linear(2)),
    (PLAIN, {}),
    (NTK4, ntk(4)),
)
IGNORED = llama("a flag that llama.cpp overwrites (yarn_attn_factor)", YARN4, **yarn(yarn_attn_factor=1 / GAIN))
KERNELS: tuple[tuple[str, dict[str, object]], ...] = (
    ("defaults", {}),
    ("flash attention", {"flash_attn_type": 1}),
    ("batches of 32", {"n_batch": 32, "n_ubatch": 32}),
    ("8-bit keys", {"cache_type_k": 8}),
    ("8-bit keys and values", {"cache_type_k": 8, "cache_type_v": 8, "flash_attn_type": 1}),
)
CORRECT = (
    *(llama(name, expect, **meant, **how) for name, how in KERNELS for expect, meant in RIGHT),
    IGNORED,
)


def served(name: str, expect: str, truth: str = "", more: tuple[str, ...] = (), **config: object) -> Setting:
    """A setting of transformers serve: a config.json beside the same weights."""
    return Setting(name, TRANSFORMERS, expect, truth, tuple(config.items()), more)


def rope(kind: str, **numbers: object) -> dict[str, object]:
    """The rotary fields of a config."""
    return {"rope_parameters": {"rope_type": kind, "rope_theta": THETA, **numbers}}


def stretched(factor: float = 4.0, original: int = TRAINED, **numbers: object) -> dict[str, object]:
    """YaRN in a config."""
    fields = rope("yarn", factor=factor, original_max_position_embeddings=original, **numbers)
    return {**fields, "max_position_embeddings": round(TRAINED * factor)}


WINDOWED = {"model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": TRAINED}

WRITING = (
    served("YaRN", YARN4, **stretched()),
    served("no rope_parameters", YARN4, "plain", **rope("default")),
    served("linear in place of YaRN", YARN4, "linear(factor=4)", **rope("linear", factor=4.0)),
    served("dynamic NTK in place of YaRN", YARN4, "by the request's length", **rope("dynamic", factor=4.0)),
    served(f"a window of {TRAINED} tokens", YARN4, f"window of {TRAINED} tokens on", **stretched(), **WINDOWED),
    served("half the factor", YARN4, "factor 2, the half", **stretched(2.0)),
    served(f"original length {RAISED} for {TRAINED}", YARN4, f"original length {RAISED}", **stretched(original=RAISED)),
    served("YaRN in bfloat16", YARN4, "", ("--dtype", "bfloat16"), **stretched()),
)
"""Settings of a server that gives no log-probabilities."""
