"""The copy channel: where else a text, or part of it, stands."""
