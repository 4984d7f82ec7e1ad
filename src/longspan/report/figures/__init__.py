"""Figures: inline SVG that takes its colors from the page around it, so that one file serves light and dark."""
