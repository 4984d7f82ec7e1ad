"""StreamingLLM: a cache of the first tokens and the latest ones, and distances as if nothing lay between.

    i − j < W − s  or  j < s,  at distances inside the cache (cache_relative)

Source: Xiao et al. 2023, "Efficient Streaming Language Models with Attention Sinks", arXiv:2309.17453.
"""

from longspan.distance.cache_relative import CacheRelative
from longspan.errors import SchemeError
from longspan.mask.window import Window
from longspan.slots import Part


def streaming_llm(sinks: int = 4, size: int | None = None, *, trained_length: int | None = None) -> tuple[Part, ...]:
    """Neutral: size ≥ length. It reads on without end, and remembers no more than its cache.

    Arguments:
        sinks: s, first tokens that stay.
        size: W, tokens in the cache, sinks included (left open: the trained length).
        trained_length: L, tokens (left open: the model's).

    Errors: SchemeError where neither size nor trained length is known, or the cache holds nothing but sinks.
    """
    size = trained_length if size is None else size
    if size is None:
        raise SchemeError("streaming_llm needs size: write streaming_llm(size=...), or parse with a geometry")
    distance = CacheRelative(sinks, size)
    return distance, Window(size - sinks, sinks=sinks)
