# Generated from kinprint/client/aio/__init__.py by tools/generate_sync.py: change that, then run 'make sync'.
"""The synchronous client, generated from the asyncio one in `kinprint.client.aio`.

`client` puts the groups of calls together (`corpora`, `transcripts`, `match`, `lineage`, `jobs`, one a service);
`calls` is what they stand on, `results` the streams that long searches give. What only one of the two clients can
do is in `kinprint.client.wire`.
"""

from kinprint.client.sync.client import Client, connect
from kinprint.client.sync.results import (
    AttributionStream,
    ClusterSearch,
    DuplicateSearch,
    KinshipSearch,
    OverlapSearch,
    ResultStream,
)

__all__ = [
    "AttributionStream",
    "Client",
    "ClusterSearch",
    "DuplicateSearch",
    "KinshipSearch",
    "OverlapSearch",
    "ResultStream",
    "connect",
]
