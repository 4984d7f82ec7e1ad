"""Diagnostics: one file each, found by walking this folder (`longspan.measure.diagnostic.diagnostics`)."""
