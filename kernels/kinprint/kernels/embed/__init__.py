"""The semantic channel's fast tier: what a text means, from a table with a vector for every token.

A load goes ``sentences -> tokens -> pool`` in one pass; a search makes its query's sentence vectors by the same steps,
scores candidates by ``pool.dots``, and ranks them by ``align``.
"""
