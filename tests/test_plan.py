"""Which scheme in which layer, in Python and as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longspan import Geometry, Plan, Scheme, parse
from longspan.errors import NotationError, RefusalError, SchemeError
from longspan.notation import format_plan, parse_plan

NEAR, FAR = parse("rope + window(4)"), parse("nope + log_length(8)")
GEOMETRY = Geometry(8, 8, 16, trained_length=64, theta=500.0)


def layers(plan: Plan, num_layers: int) -> list[Scheme]:
    return [plan.layer(index, num_layers) for index in range(num_layers)]


def test_everywhere() -> None:
    assert layers(Plan.everywhere(NEAR), 5) == 5 * [NEAR]


def test_a_pattern_repeats_and_may_stop_inside() -> None:
    plan = Plan.tile("SSL", S=NEAR, L=FAR)
    assert layers(plan, 7) == [NEAR, NEAR, FAR, NEAR, NEAR, FAR, NEAR]


def test_per_layer_fits_one_depth_only() -> None:
    plan = Plan.per_layer([NEAR, NEAR, FAR])
    assert layers(plan, 3) == [NEAR, NEAR, FAR]
    with pytest.raises(SchemeError, match="made for 3 layers, the model has 6"):
        plan.layer(0, 6)


@pytest.mark.parametrize("index", [-1, 3])
def test_layers_that_are_not_there_are_refused(index: int) -> None:
    with pytest.raises(SchemeError, match=f"layer must be 0 … 2, got {index}"):
        Plan.everywhere(NEAR).layer(index, 3)


def test_letters_and_schemes_must_match() -> None:
    with pytest.raises(SchemeError, match="has 'L' but no scheme for it: add L="):
        Plan.tile("SSL", S=NEAR)
    with pytest.raises(SchemeError, match="does not use X"):
        Plan.tile("S", S=NEAR, X=FAR)
    with pytest.raises(SchemeError, match="at least one scheme"):
        Plan.per_layer([])


def test_a_plan_is_a_value() -> None:
    assert Plan.tile("SL", S=NEAR, L=FAR) == Plan.tile("AB", A=NEAR, B=FAR)
    assert hash(Plan.everywhere(NEAR)) == hash(Plan.everywhere(parse("rope + window(4)")))
    assert Plan.tile("SL", S=NEAR, L=FAR) != Plan.per_layer([NEAR, FAR])


def test_fill_closes_every_scheme() -> None:
    plan = Plan.tile("SL", S=parse("rope + window"), L=parse("rerope")).fill(GEOMETRY, 256)
    near, far = layers(plan, 2)
    assert near == parse("rope(500.0) + window(64)")
    assert far == parse("rerope(16) + rope(500.0)")


def test_text_of_one_scheme_is_the_plan_of_it_everywhere() -> None:
    assert parse_plan("rope + window(4)") == Plan.everywhere(NEAR)
    assert parse_plan("rope + window", GEOMETRY) == Plan.everywhere(parse("rope(500.0) + window(64)"))


def test_text_of_patterns() -> None:
    tile = "tile('SSL', S=rope + window(4), L=nope + log_length(8))"
    assert parse_plan(tile) == Plan.tile("SSL", S=NEAR, L=FAR)
    assert parse_plan(tile.replace("tile", "per_layer"), num_layers=3) == Plan.per_layer([NEAR, NEAR, FAR])
    with pytest.raises(SchemeError, match="made for 3 layers, the model has 4"):
        parse_plan(tile.replace("tile", "per_layer"), num_layers=4)


def test_text_of_a_recipe() -> None:
    from longspan.recipes.hwfa import hwfa

    wanted = hwfa(num_layers=4, trained_length=64)
    assert parse_plan("hwfa(num_layers=4, trained_length=64)") == wanted
    assert parse_plan("hwfa", GEOMETRY, num_layers=4) == wanted.fill(GEOMETRY, 64)
    with pytest.raises(NotationError, match="hwfa needs num_layers, trained_length"):
        parse_plan("hwfa")


@pytest.mark.parametrize(
    "text", ["tile", "tile()", "tile('S', 3, S=rope)", "tile(S=rope)", "tile(S, S=rope)", "rope +"]
)
def test_text_that_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(NotationError):
        parse_plan(text)


def test_a_plan_is_no_term_of_a_scheme() -> None:
    with pytest.raises(NotationError, match="hwfa is a plan"):
        parse("hwfa")
    with pytest.raises(NotationError, match="hwfa is a plan"):
        parse("rope + hwfa(num_layers=24, trained_length=512)")


@given(
    names=st.lists(st.sampled_from(["rope", "nope", "rerope(8)", "rope + window(4)"]), min_size=1, max_size=6),
    tiled=st.booleans(),
)
def test_text_form_returns(names: list[str], tiled: bool) -> None:
    schemes = [parse(name) for name in names]
    plan = Plan(tuple(schemes)) if tiled else Plan.per_layer(schemes)
    again = parse_plan(format_plan(plan))
    assert layers(again, len(names)) == layers(plan, len(names))
    assert again.num_layers == plan.num_layers


MIXED = "tile('MMA', A=rope, M=mamba(states=8))"


def test_mixers_take_the_place_of_schemes() -> None:
    from longspan.mixers.mamba import Mamba

    plan = Plan.tile("MMA", M=Mamba(states=8), A=parse("rope"))
    assert parse_plan(MIXED) == plan
    assert parse_plan(format_plan(plan)) == plan
    assert parse_plan("mamba(states=8)") == Plan.everywhere(Mamba(states=8))
    assert format_plan(Plan.everywhere(Mamba(states=8))) == "mamba(states=8)"
    assert plan.mixers == (Mamba(states=8),)
    assert [plan.at(index, 6) for index in range(6)] == 2 * [Mamba(states=8), Mamba(states=8), parse("rope")]
    assert layers(plan.attention(6), 2) == 2 * [parse("rope")]
    assert Plan.everywhere(NEAR).attention(6) == Plan.everywhere(NEAR)
    assert Plan.everywhere(Mamba()).attention(6) == Plan.everywhere(Scheme())


def test_what_needs_attention_refuses_mixers() -> None:
    plan = parse_plan(MIXED, GEOMETRY)
    assert plan.layer(2, 3) == parse("rope(500.0)")
    for ask in (lambda: plan.layer(0, 3), lambda: plan.schemes):
        with pytest.raises(RefusalError, match="mamba takes the place of attention"):
            ask()


@pytest.mark.parametrize("text", ["mamba", "rope + mamba", "mamba + rope"])
def test_a_mixer_is_no_term_of_a_scheme(text: str) -> None:
    with pytest.raises(NotationError, match=r"mamba in .* takes the place of a whole scheme"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("mamba(sttes=8)", "mamba has no argument 'sttes'; did you mean 'states'"),
        ("mamba(states=0)", "states must be at least 1"),
    ],
)
def test_a_mixer_says_what_is_wrong(text: str, why: str) -> None:
    with pytest.raises(SchemeError, match=why):
        parse_plan(text)
