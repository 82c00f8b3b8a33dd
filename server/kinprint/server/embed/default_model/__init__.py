"""The default embedding model: fetched, converted and packed once."""
