"""The asyncio client, of which the synchronous one in `kinprint.client.sync` is generated.

`client` puts the groups of calls together (`corpora`, `transcripts`, `match`, `lineage`, `jobs`, one a service);
`calls` is what they stand on, `results` the streams that long searches give. What only one of the two clients can
do is in `kinprint.client.wire`.
"""

from kinprint.client.aio.client import AsyncClient, aconnect
from kinprint.client.aio.results import (
    AsyncAttributionStream,
    AsyncClusterSearch,
    AsyncDuplicateSearch,
    AsyncKinshipSearch,
    AsyncOverlapSearch,
    AsyncResultStream,
)

__all__ = [
    "AsyncAttributionStream",
    "AsyncClient",
    "AsyncClusterSearch",
    "AsyncDuplicateSearch",
    "AsyncKinshipSearch",
    "AsyncOverlapSearch",
    "AsyncResultStream",
    "aconnect",
]
