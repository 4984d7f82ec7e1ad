"""Checked inputs to an output: which backends there are, which one is chosen, and why."""

from jaxtyping import Float
from torch import Tensor

from longspan.compute.decoding.prepare import prepare_call
from longspan.compute.decoding.prepared import Prepared
from longspan.compute.dense.blocks import blocks
from longspan.compute.dense.reference import reference
from longspan.compute.inputs import Inputs
from longspan.compute.kernels import cpu as flash
from longspan.compute.tiling.backend import readable, refusal, tiles
from longspan.errors import RefusalError, nearest, shown
from longspan.notation import format_scheme

BACKENDS = {"reference": reference, "blocks": blocks, "tiles": tiles}


def run(inputs: Inputs, backend: str = "auto") -> Float[Tensor, "batch heads queries value_dim"]:
    """The output of one checked call on a backend, by name.

    Errors: RefusalError where the named backend cannot serve the scheme; "auto" always finds one that can.
    """
    chosen = _chosen(inputs, backend)
    if chosen == "tiles":
        inputs = readable(inputs)
        found = _few_queries(inputs)
        if found is not None:
            return found(inputs.query, inputs.key, inputs.value, inputs.weights)
    return BACKENDS[chosen](inputs)


def decoding(inputs: Inputs, backend: str = "auto") -> Prepared | None:
    """What `run` does for few queries against a cache, found once for all tensors of equal specs; None for other calls.

    Errors: as of `run`.
    """
    return _few_queries(inputs) if _chosen(inputs, backend) == "tiles" else None


def _few_queries(x: Inputs) -> Prepared | None:
    return None if flash.on_cuda(x.query.device) else prepare_call(x)


def _chosen(inputs: Inputs, backend: str) -> str:
    chosen, _ = choose(inputs) if isinstance(backend, str) and backend == "auto" else (backend, "")
    if not isinstance(chosen, str) or chosen not in BACKENDS:
        raise RefusalError(
            f"unknown backend {shown(chosen)}{nearest(str(chosen), BACKENDS)}; there are {', '.join(BACKENDS)}"
        )
    if chosen == "tiles" and backend != "auto" and (reason := refusal(inputs)):
        raise RefusalError(f'tiles refuses {format_scheme(inputs.scheme)}: {reason}; backend="blocks" accepts it')
    return chosen


def choose(inputs: Inputs) -> tuple[str, str]:
    """The backend that "auto" takes, and why."""
    if inputs.query.device.type != "cpu":
        return "blocks", f"not tiles: on {inputs.query.device} they are taken only by name, no GPU has tested them yet"
    reason = refusal(inputs)
    return ("blocks", f"not tiles: {reason}") if reason else ("tiles", "every pair lies in a flash tile")
