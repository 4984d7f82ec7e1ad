"""`attend`: one call for every scheme, on every backend."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from longspan.compute.run import call
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

    Keys stand at 0 … keys − 1 and the queries are the last of them, unless positions say otherwise. All of them are
    turned in each call: what reads on, token by token, is a `Cache`.

    Arguments:
        query: (batch, heads, queries, head_dim).
        key, value: (batch, kv_heads, keys, head_dim); kv_heads divides heads, values may have a width of their own.
        scheme: a `Scheme` or its text, as in "rerope(window=1024) + log_length(4096)".
        query_positions, key_positions: coordinates, (places), (batch, places) or (batch, places, axes).
        documents: (batch, keys), packed documents, numbered; tokens of different documents never meet.
        padding: (batch, keys), True where a key is padding; its query's output is zero.
        weights: the learned numbers of the scheme's parts, named as in `Scheme.initial_weights`.
        scale: a model's own scaling instead of 1/√head_dim.
        backend: "tiles" (flash tiles), "blocks" (any scheme, linear memory), "reference" (dense), or "auto" to choose.

    Inside `torch.compile` (fullgraph too) the call is one opaque operation of the graph: nothing of it is fused or
    compiled, its backward pass computes the forward pass again, as gradient checkpointing does, and there is no second
    derivative. A scheme given as an object compiles again for each object, given as text once.

    The same holds for `torch.func.grad`, `vjp` and `jacrev`. `torch.vmap` adds the mapped dimension to the batch; where
    positions or weights are mapped as well, the calls follow one another. Forward-mode derivatives are refused. Tensors
    without data (the device "meta", `FakeTensorMode`) give an empty tensor of the output's shape.

    A row of the output is NaN exactly where its query is NaN or it sees a key or a value that is; all other rows are
    as without it.

    Errors: ShapeError for tensors that do not fit, or are none; SchemeError for a scheme, weights or a scale that mean
    nothing; RefusalError for an unknown backend, one that cannot serve the scheme, and a derivative that is not there.

    >>> import torch
    >>> x = torch.ones(1, 2, 5, 4)
    >>> attend(x, x, x, "rope + window(2)").shape
    torch.Size([1, 2, 5, 4])
    """
    if torch.compiler.is_compiling():
        attended = compiled.attend
    else:
        attended = transformed.attend if transformed.is_needed(query) else call
    positions = query_positions, key_positions, documents, padding
    return attended(query, key, value, scheme, positions, {} if weights is None else weights, scale, backend)
