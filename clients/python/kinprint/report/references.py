"""Words that a report explains, and the literature that it rests on."""

from __future__ import annotations

GLOSSARY: tuple[tuple[str, str], ...] = (
    ("Background", "Pairs of models whose relation is known. They show how alike unrelated and related models are."),
    ("Bits", "How surprising a passage is: each bit halves the chance of it. Twenty bits are about one in a million."),
    (
        "Convergence",
        "Models growing alike without any link, because they were trained on similar text for similar use.",
    ),
    ("Corpus", "The collection of prompts and answers that was compared."),
    (
        "Derived",
        "Made from another model: fine-tuned, merged, pruned, given another system prompt, or the model itself.",
    ),
    ("Digest", "A checksum (SHA-256). Two files with the same digest are the same file, byte for byte."),
    ("Family", "Models of one maker that share an origin. Models of one family do not count as independent witnesses."),
    ("Holm-adjusted", "A p-value made larger because several questions were asked at once (Holm 1979)."),
    (
        "Likelihood ratio",
        "How much more probable the findings are under one hypothesis than under the other. It is not the probability "
        "that the hypothesis is true; that also depends on everything else known about the case.",
    ),
    (
        "log10",
        "A ratio as a power of ten: 1 is 10 to one, 2 is 100 to one, 0 is even, and below 0 favours the opposite.",
    ),
    ("Panel", "The background as a file, with a digest, so that others can use the same one."),
    ("Power", "The share of true cases that a method finds. Where power is low, finding nothing means little."),
    (
        "p-value",
        "The share of unrelated pairs at least as alike as this one, counting this one. It cannot be smaller than one "
        "in the number of pairs plus one, which is its floor.",
    ),
    ("Prompt", "What a model was asked. Answers to the same prompts are compared, so that topic plays little part."),
    (
        "Score",
        "How alike two models' answers are, on a scale of its own. Only comparison with other pairs gives meaning.",
    ),
    ("Source", "The model from which the subject may come."),
    ("Subject", "The model whose origin is in question."),
    ("Threshold", "The score from which a verdict is given; it lies above every unrelated pair of the background."),
    (
        "Validated range",
        "The likelihood ratios that the background is large enough to support. None is given beyond it.",
    ),
)

REFERENCES: tuple[str, ...] = (
    "Brümmer, N. and du Preez, J. (2006). Application-independent evaluation of speaker detection. Computer Speech & "
    "Language 20(2–3), 230–275.",
    "European Network of Forensic Science Institutes (2015). ENFSI Guideline for Evaluative Reporting in Forensic "
    "Science. Approved version 3.0.",
    "Holm, S. (1979). A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics "
    "6(2), 65–70.",
    "Morrison, G. S. et al. (2021). Consensus on validation of forensic voice comparison. Science & Justice 61(3), "
    "299–309.",
    "Phipson, B. and Smyth, G. K. (2010). Permutation p-values should never be zero. Statistical Applications in "
    "Genetics and Molecular Biology 9(1), article 39.",
    "Torgerson, W. S. (1952). Multidimensional scaling: I. Theory and method. Psychometrika 17(4), 401–419.",
    "Vergeer, P. et al. (2016). Numerical likelihood ratios outputted by LR systems are often based on extrapolation: "
    "when to stop extrapolating? Science & Justice 56(6), 482–491.",
)
