"""A window that mask and cache do not share: off by one, or kept by the cache of a layer that sees everything."""

from collections.abc import Iterator

from longspan.audit.finding import Finding
from longspan.audit.subject import Subject
from longspan.audit.watching.observation import Layer


def check(subject: Subject) -> Iterator[Finding]:
    """Compare what queries see by the model's own mask function with the config's number and with the cache's."""
    if subject.refusal:
        return
    observed = subject.observation
    reported = set()
    for layer in observed.layers:
        held = observed.limits[layer.number] if layer.number < len(observed.limits) else None
        if layer.window is None and layer.num_heads and held is not None and (layer.kind, held) not in reported:
            reported.add((layer.kind, held))
            yield _cache_alone(layer, held)
        if layer.window is None or layer.seen is None or layer.ahead:
            continue
        compressed = layer.kind.endswith("_sparse_attention")
        wrong = layer.seen != layer.window or (held not in (None, layer.window) and not compressed)
        if wrong and (layer.kind, layer.seen, held) not in reported:
            reported.add((layer.kind, layer.seen, held))
            keeps = "" if held in (None, layer.window) else f" and its cache keeps a window of {held}"
            yield Finding(
                check="window",
                severity="failure",
                where=layer.kind,
                what=f"a query sees {layer.seen} tokens, itself included{keeps}",
                given=f"window of {layer.window}",
                do=f"set the window to {layer.window + layer.window - layer.seen}, or mend the mask",
            )


def _cache_alone(layer: Layer, held: int) -> Finding:
    """transformers makes the cache from `sliding_window`, whether or not the layers of the family read that field."""
    return Finding(
        check="window",
        severity="failure",
        where=layer.kind,
        what=f"a query sees all tokens, and its cache keeps the last {held - 1} alone: from there on, a text that is "
        "read token by token gives other answers than one that is read at once",
        given=f"cache of a window of {held}",
        do="remove the window from the config, which these layers do not read",
    )
