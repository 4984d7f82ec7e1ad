"""Strategies: what a search proposes next, from what earlier candidates cost; they know no model and no documents."""
