"""The style channel and kinship: who wrote a text, and which authors are kin."""
