"""A study, which is what `longspan extend` runs: plan, measure, decide, summarize."""
