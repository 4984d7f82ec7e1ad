"""`attend`: one call for every scheme, on every backend."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from longspan.compute import compiled
from longspan.compute.run import call
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

    Errors: ShapeError, SchemeError, and RefusalError where a named backend cannot serve the scheme.

    >>> import torch
    >>> x = torch.ones(1, 2, 5, 4)
    >>> attend(x, x, x, "rope + window(2)").shape
    torch.Size([1, 2, 5, 4])
    """
    attended = compiled.attend if torch.compiler.is_compiling() else call
    positions = query_positions, key_positions, documents, padding
    return attended(query, key, value, scheme, positions, weights or {}, scale, backend)
