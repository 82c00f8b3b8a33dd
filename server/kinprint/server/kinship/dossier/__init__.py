"""Dossier: the evidence for and against one model descending from another.

In the order of its steps:

- `case`: the two models with all scores, and what of them several sections ask;
- `hypotheses`: three explanations, kept apart, and the statement that follows;
- `sections`: the figures, and what they rest on;
- `excerpts`: what the resemblance looks like in the texts, by `keyness` and by shared passages;
- `document`: all of it as one reproducible document; begin reading there.
"""
