"""The Kinprint server: fingerprints transcripts, indexes them and answers over gRPC.

A transcript goes, file by file::

    services/transcripts.py  protobuf in and out
    pipeline/ingest.py       one writer per corpus, group commit
    pipeline/normalise.py    validate, split reasoning, derive id, prompt key, language, content hash
    pipeline/fingerprint.py  sketch, style vector, embedding
    store/record.py          the durable record (Delta Lake)
    pipeline/index.py        segments in memory, newest row per id
    store/generation.py      segments on disk, memory-mapped

and a query::

    services/matching.py     protobuf in and out
    pipeline/match.py        candidates and scores per channel
    pipeline/evidence.py     what a person can check
    pipeline/duplicates.py   all near-duplicate pairs
"""
