"""Where the two clients differ: channels, running streams, waiting and locks.

`aio` and `sync` have the same names. The client in `kinprint.client.aio` is written over the first;
`tools/generate_sync.py` makes the one in `kinprint.client.sync` of it, over the second.
"""
