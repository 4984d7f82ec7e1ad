"""A method as the text that results are stored under."""

from dataclasses import replace

from longspan.geometry import Geometry
from longspan.notation import format_scheme, parts
from longspan.scheme import Scheme
from longspan.slots import Distance


def filled(text: str, geometry: Geometry, length: int) -> str:
    """Return the same scheme with every number written out; what it takes from the model is left out.

    Errors: NotationError or SchemeError for a text that is not a scheme.

    >>> filled("rerope + log_length", Geometry(4, 4, 64, trained_length=512), 4096)
    'rerope(window=128) + log_length(trained_length=512)'
    >>> filled("compressed", Geometry(4, 4, 64, trained_length=512), 4096)
    'rerope(window=128) + compressed(codes=64)'
    """
    scheme = Scheme.of(*(part.fill(geometry, length) for part in parts(text, geometry)))
    distance = scheme.distance.fill(geometry, length)  # a memory brings one
    assert isinstance(distance, Distance)
    return format_scheme(replace(scheme, distance=distance))
