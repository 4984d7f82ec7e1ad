"""Search: schemes with a few free numbers, found on some documents and judged on others."""
