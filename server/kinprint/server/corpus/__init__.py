"""Corpora: what is stored, how it gets there, and the state that is searched."""
