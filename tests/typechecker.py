"""What pytest checks longspan's annotations with; `addopts` in pyproject.toml names it."""

from typing import Self

from beartype import BeartypeConf, FrozenDict, beartype

# An int is a float (PEP 484). `Self` is left to the static checker: beartype understands it inside whole classes only,
# and jaxtyping hands over one method at a time.
checked = beartype(conf=BeartypeConf(is_pep484_tower=True, hint_overrides=FrozenDict({Self: object})))
