"""Who calls, by one name: what quotas count by and the audit log holds."""

from __future__ import annotations

from kinprint.server.edge.call import CALL, Call

#: Of a call that was refused before it was known who calls.
UNKNOWN = "unknown"


def caller_name(call: Call | None = None) -> str:
    """Name of the principal of a call, of the one under way if None; `UNKNOWN` where nobody was told yet."""
    found = call or CALL.get()
    return found.caller if found is not None and found.caller else UNKNOWN
