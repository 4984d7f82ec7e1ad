"""`make conformance`: method × model type × path on tiny random models, written to docs/conformance.md."""
