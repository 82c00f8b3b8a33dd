"""Search: where a text occurs, what resembles it, and what stands behind a hit."""
