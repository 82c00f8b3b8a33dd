"""Kinprint's kernels: NumPy arrays in, NumPy arrays out, compiled by Numba. Import the module that you need.

Who computes what, and who calls whom, from what a program calls down to one text::

    dedup -----+-- lsh -------- sketch        near-duplicates: candidates by sketches, or an exact join,
               +-- join ------- prefixes      each pair verified
               +-- overlap
    seeds -----+-- shingle                    search: texts that share a stretch, then exact overlap
    overlap ---+
    passages --+-- postings --- seeds         stretches that two sets of texts share, byte for byte,
               +-- matching                   and how rare each is
               +-- rarity ----- overlap
    spans ------- unicode                     stretches that two texts share
    disguise --+-- spacing                    what texts say under a disguise of their letters
               +-- scripts ---- lookalikes
    nearest ----- stylometry                  which of many style vectors may be the most alike
    stylometry --+-- traits --- tokens        style vectors and their Cosine Delta
    authorship --+-- features - tokens        who wrote it: sparse features, linear classifiers
    residual ------ ngrams ---- tokens        kinship: what models have in common beyond the prompt
    imposters ----- burrows --- words         the classical Deltas, and General Imposters
    pool ------+-- sentences                  meaning: vectors of texts from a table of tokens
               +-- tokens ----- stretch --- vocabulary
    align --------- pool                      which sentences of two texts say the same

``copy/`` (all up to ``disguise``) answers whether a text, or part of it, stands somewhere else: ``docs/copy.md``.
``style/`` answers who wrote it and who is kin: ``docs/style.md``, ``docs/attribution.md``, ``docs/kinship.md``.
``embed/`` (the last three) answers what means the same. Below all::

    shingle ------- fold ------ unicode       words, code points and their hashes; NFKC_Casefold
    sketch -------- shingle                   128 slots of a set of shingles
    arrow                                     texts where they are in memory, by address
    hashing                                   64-bit hashes, and loads that Numba lacks
    jit ----------- spread ---- turn          how kernels are compiled, and on which threads they run
    warm ---------- units ----- sources       compiling ahead of the first call, in several processes
    cache                                     where machine code is kept between processes

The public functions check what they are given; the kernels below them trust it, release the interpreter, and read
texts in place. No result depends on the number of threads. ``reference/`` has the same definitions in plain Python, for
tests. No kernel is imported here, so that a command pays for what it uses.
"""

from . import cache as _cache

_cache.settle()  # before anything imports Numba
