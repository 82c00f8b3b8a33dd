"""Authorship: which of the models of a corpus wrote a text."""
