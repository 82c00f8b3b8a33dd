"""Authorship: which of some known models wrote a text, or a set of texts by one author, or none of them.

In the order of its steps:

- `sets`: the texts that are asked about, as they are sent;
- `labelled`: answers of a corpus whose models are known;
- `texts`: which of them are learnt from, with their folds of prompts;
- `margins`: linear classifiers, and what their margins say;
- `validate`: simulated sets, and the calibration that comes of them;
- `train`: all of that, to an `attributor`, which also has the types of the answers;
- `attribute`: the known models ranked as authors; `attribute.run` is the whole way.
"""
