"""Kinds of measurement: one file each, found by walking this folder (`longspan.measure.measurement.kinds`)."""
