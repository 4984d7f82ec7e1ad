"""lm-evaluation-harness: extended models through its own `HFLM`, and our tasks as files that it reads."""
