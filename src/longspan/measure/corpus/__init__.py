"""The user's files as texts, and texts as documents of exactly so many tokens."""
