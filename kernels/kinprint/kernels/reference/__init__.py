"""The kernels' definitions in plain Python: slow, obvious, and used only by tests.

Each module has the name of the kernel module that it mirrors. Texts are ``str``, sets are ``set``, hashes are ``int``;
nothing here is compiled and nothing is shared with the kernels but constants and, for folding, the Unicode tables.
Needs ``unicodedata2`` at the pinned Unicode version for canonical composition.
"""
