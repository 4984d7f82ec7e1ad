"""Reductions of token losses: one file each, found by walking this folder (`longspan.measure.reduction.reductions`)."""
