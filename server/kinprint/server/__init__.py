"""The Kinprint server: fingerprints transcripts, indexes them and answers over gRPC.

Rooms, from the edge of the process to its ground; imports point down::

    app, __main__, linger      start, serve, drain
    services                   a gRPC service each: message to capability to message
    edge                       what every call passes through
    state, startup             what services share; the way to SERVING
    search, kinship, authorship
                               the capabilities
    jobs, corpus               long runs in processes of their own; what is stored, and how it gets there
    channels                   what a text is fingerprinted by, and how that is searched
    store, embed               files that last; the embedding model
    failures, statistics, progress, batches, limits, config, threads, imports

docs/architecture.md follows a transcript, a query and a long run through them.
"""
