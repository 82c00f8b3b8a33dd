"""Kinship: how alike models write, and what that says of their descent.

In the order of its steps:

- `answers`: what models answered to the same prompts, without what says nothing;
- `scores`: a number for every pair of models, normalised by a cohort;
- `labels`, `crossfit`, `calibration`, `fit`: from models of known families to a background, the `panel`;
- `judge`: likelihood ratios, p-values and verdicts of pairs by a panel;
- `tree`: all models of a corpus by likeness, to look at;
- `dossier/`: everything that can be said about two named models, as one document.
"""
