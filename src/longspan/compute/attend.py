"""`attend`: one call for every scheme, on every backend."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from longspan.compute.inputs import Call, Positions, check_tensors, has_data
from longspan.compute.run import run
from longspan.compute.traced import compiled, transformed
from longspan.scheme import Scheme


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scheme: Scheme | str,
    *,
    query_positions: Tensor | None = None,
    key_positions: Tensor | None = None,
    documents: Tensor | None = None,
    padding: Tensor | None = None,
    weights: Mapping[str, Tensor] | None = None,
    scale: float | None = None,
    backend: str = "auto",
) -> Float[Tensor, "batch heads queries value_dim"]:
    """Attention under a scheme of positions.

    Keys have the positions 0 … keys − 1 and the queries are the last of them, unless positions say otherwise. Every
    call rotates all keys: for decoding token by token use `Cache`, which rotates each key once.

    Arguments:
        query: (batch, heads, queries, head_dim).
        key, value: (batch, kv_heads, keys, head_dim); kv_heads divides heads; values may have a width of their own.
        scheme: a `Scheme` or its text, as in "rerope(window=1024) + log_length(4096)".
        query_positions, key_positions: (tokens), (batch, tokens) or (batch, tokens, axes).
        documents: (batch, keys), the number of each key's document in a packed batch; tokens of different documents do
            not attend to each other.
        padding: (batch, keys), True where a key is padding; the output of its query is zero.
        weights: the learned numbers of the scheme's parts, named as in `Scheme.initial_weights`.
        scale: the model's own scale instead of 1/√head_dim.
        backend: "tiles" (flash kernels), "blocks" (any scheme, linear memory), "reference" (dense), or "auto".

    Inside `torch.compile` (fullgraph too) the call is one opaque operation of the graph: the compiler fuses nothing
    inside it. Its backward pass computes the forward pass again, as gradient checkpointing does, and it has no second
    derivative. A scheme object compiles once per object, a scheme text once.

    The same holds for `torch.func.grad`, `vjp` and `jacrev`. `torch.vmap` adds the mapped dimension to the batch; where
    it maps positions or weights too, it computes one call after the other. Forward-mode derivatives are refused.
    Tensors without data (the device "meta", `FakeTensorMode`) give an empty tensor of the output's shape.

    A row of the output is NaN exactly where its query is NaN or where it attends to a key or value that is NaN; every
    other row has the value that it would have without the NaN.

    Errors: ShapeError for tensors that do not fit or are not tensors; SchemeError for a scheme, weights or a scale
    without meaning; RefusalError for an unknown backend, for a backend that cannot serve the scheme, and for a
    derivative that does not exist.

    >>> import torch
    >>> x = torch.ones(1, 2, 5, 4)
    >>> attend(x, x, x, "rope + window(2)").shape
    torch.Size([1, 2, 5, 4])
    """
    positions = Positions(query_positions, key_positions, documents, padding)
    call = Call(query, key, value, scheme, positions, {} if weights is None else weights, scale, backend)
    if torch.compiler.is_compiling():
        return _operation(call)
    if not has_data(query):
        call.check()
        check_tensors(query, key, value)
        return _operation(call)
    if torch._C._are_functorch_transforms_active():
        return transformed.attend(call, _computed)
    return _computed(call)


def _computed(call: Call) -> Float[Tensor, "batch heads queries value_dim"]:
    return run(call.inputs(), call.backend)


_operation = compiled.operation(_computed)
