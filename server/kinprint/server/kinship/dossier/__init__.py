"""Dossier: the evidence for and against one model descending from another."""
