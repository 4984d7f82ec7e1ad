"""Lines that start a runtime with a method, as `longspan export` knows its flags."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from longspan.errors import LongspanError
from longspan.measure.models.loading import located
from longspan.pretrained.storing.checkpoint import refusing
from longspan.pretrained.storing.runtimes import RuntimeFlags, runtime_flags
from longspan.pretrained.storing.save import read_config
from longspan.report.card import methods_to_run
from longspan.study.summary import Summary

SERVED = {
    "vllm": "vllm serve {model}",
    "llama.cpp": "llama-server -m {model}",
    "sglang": "python -m sglang.launch_server --model-path {model}",
}
"""How each runtime is started; flags follow."""
NAMES = {"vllm": "vLLM", "llama.cpp": "llama.cpp", "sglang": "SGLang"}


@dataclass(frozen=True)
class Line:
    """What to type for a runtime.

    Arguments:
        runtime: its name.
        command: the line; empty where the runtime cannot express the method.
        reason: why it cannot; empty where it can.
        note: what else is needed; empty where nothing is.
    """

    runtime: str
    command: str
    reason: str
    note: str = ""


Lines = Mapping[str, tuple[Line, ...]]
"""By method."""


def lines(summary: Summary) -> Lines:
    """Return the lines of the winner and of the best exportable method; none where the model's config is missing."""
    found: dict[str, tuple[Line, ...]] = {}
    model, length = summary.setting.model, summary.setting.length
    for method in methods_to_run(summary):
        try:
            config, _ = read_config(located(model))
            with refusing(f"the config of {model} cannot be used"):
                flags = runtime_flags(config, method, length)
        except LongspanError:
            continue
        found[method] = tuple(_line(each, model) for each in flags)
    return found


def _line(flags: RuntimeFlags, model: str) -> Line:
    """One runtime; a file name that it does not read is left open.

    >>> _line(RuntimeFlags("llama.cpp", ("-c", "4096")), "some/model").command
    'llama-server -m MODEL.gguf -c 4096'
    """
    runtime = NAMES.get(flags.runtime, flags.runtime)
    if not flags.flags:
        return Line(runtime, "", flags.reason)
    packed = model.endswith(".gguf")
    readable = packed if flags.runtime == "llama.cpp" else not packed and model != "bundled"
    name = shlex.quote(model) if readable else "MODEL.gguf" if flags.runtime == "llama.cpp" else "MODEL"
    start = SERVED.get(flags.runtime, f"{flags.runtime} {{model}}").format(model=name)
    return Line(runtime, f"{start} {shlex.join(flags.flags)}", "", flags.note)
