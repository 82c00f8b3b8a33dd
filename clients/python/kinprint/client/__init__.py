"""The Python client of Kinprint.

    >>> from kinprint.client import connect
    >>> with connect("localhost:50051") as client:        # or connect("./data")
    ...     client.upsert("news", [{"model": "m", "prompt": "Why?", "response": "Because."}])
    ...     client.search("Because.", corpus="news").hits

`connect` gives a synchronous client, `aconnect` an asyncio one; both need grpcio and protobuf alone.
Frames are in `kinprint.client.frames` (extra `polars`), the command line in `kinprint.client.cli` (extra
`cli`).

    aio, sync             the calls; `sync` is generated from `aio`, and `wire` is where they differ
    contract, convert     names and messages of the calls; messages to and from types
    types, errors         what calls take, give and raise
    upsert, chunking      what an upload sends next, and what an answer means, without input or output
    identity              ids of transcripts that come without one
    transport, access     addresses and channels; TLS and API keys
    embedded, launch      the server of a data directory
    files                 transcripts in files: how they are read and written, and what their rows mean
    frames, schemas       Polars and Arrow
    cli                   the command line
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kinprint.client.api import *  # noqa: F403

    __version__: str
else:
    # Importing a module of this package, as the command line does, need not import all of it.
    def __getattr__(name: str) -> Any:
        from importlib import import_module
        from importlib.util import find_spec

        if name == "__version__":
            from kinprint.installed import version

            return version()
        hidden = name.startswith("__") and name != "__all__"
        if hidden or find_spec(f"{__name__}.{name}") is not None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            found = getattr(import_module(f"{__name__}.api"), name)
        except AttributeError:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        from kinprint.client import api

        return sorted({*globals(), *api.__all__})
