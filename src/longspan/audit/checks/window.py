"""A window that is off by one: the mask lets a query see more or fewer keys than the config says or the cache keeps."""

from collections.abc import Iterator

from longspan.audit.finding import Finding
from longspan.audit.subject import Subject


def check(subject: Subject) -> Iterator[Finding]:
    """Compare what queries see by the model's own mask function with the config's number and with the cache's."""
    if subject.refusal:
        return
    observed = subject.observation
    reported = set()
    for layer in observed.layers:
        if layer.window is None or layer.seen is None or layer.ahead:
            continue
        held = observed.cache[layer.number].limit if layer.number < len(observed.cache) else None
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
