"""The way of a transcript and of a query: normalise, fingerprint, index, match, evidence."""
