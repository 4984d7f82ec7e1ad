"""Laws of mixers, asked of other libraries."""
