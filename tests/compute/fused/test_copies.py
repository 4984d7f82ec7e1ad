"""Keys that lie where a branch wants them are read in place."""

from dataclasses import replace

import torch

from longspan.compute.fused.attention import Fused, plan
from longspan.compute.fused.copies import rotated_keys
from longspan.compute.inputs import Inputs
from longspan.compute.places import places
from longspan.notation import parse
from longspan.position_map import Identity


def test_keys_in_their_frame_are_not_copied() -> None:
    x = torch.ones(1, 1, 6, 8)
    unrotated = Inputs(x, x, x, parse("rope + window(3)"), *places(6, 6), {}, 1.0)
    for inputs, in_place in ((replace(unrotated, key_frame=Identity()), True), (unrotated, False)):
        found = plan(inputs)
        assert isinstance(found, Fused)
        assert (rotated_keys(inputs, found.sweeps, 0).data_ptr() == x.data_ptr()) == in_place
