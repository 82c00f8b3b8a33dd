"""The Python client of Kinprint.

    >>> from kinprint.client import connect
    >>> with connect("localhost:50051") as client:        # or connect("./data")
    ...     client.upsert("news", [{"model": "m", "prompt": "Why?", "response": "Because."}])
    ...     client.search("Because.", corpus="news").hits

`connect` gives a synchronous client, `aconnect` an asyncio one; both need grpcio and protobuf alone.
Frames are in `kinprint.client.frames` (extra `polars`), the command line in `kinprint.client.cli` (extra
`cli`).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kinprint.client.api import *  # noqa: F403
else:
    # Importing a module of this package, as the command line does, need not import all of it.
    def __getattr__(name: str) -> Any:
        from importlib import import_module
        from importlib.util import find_spec

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
