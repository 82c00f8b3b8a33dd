"""One call under way: what is counted of it, from its first byte to its status."""

from __future__ import annotations

import time
from contextvars import ContextVar
from dataclasses import dataclass, field

from kinprint.server.limits import Lease


@dataclass(slots=True)
class Call:
    """What is known of a call; its interceptors write it, on the event loop.

    Attributes
    ----------
    rpc
        Service and method, "MatchService/Search".
    streaming
        Whether its requests are a stream.
    messages_in, bytes_in, messages_out, bytes_out
        Messages and their bytes before compression.
    size
        Bytes of the request that was read last.
    complete
        Whether everything was answered: whoever goes after that has cancelled nothing.
    caller
        Name of the principal, once the guard knows it.
    reason
        Reason of the failure that it ended with, "" for none.
    leases
        What it holds of the server's budgets; given back when it ends.
    """

    rpc: str
    streaming: bool = False
    began: float = field(default_factory=time.monotonic)
    messages_in: int = 0
    bytes_in: int = 0
    messages_out: int = 0
    bytes_out: int = 0
    size: int = 0
    caller: str = ""
    complete: bool = False
    reason: str = ""
    leases: set[Lease] = field(default_factory=set)

    def took(self, size: int) -> None:
        """Count a request."""
        self.messages_in += 1
        self.bytes_in += size
        self.size = size

    def hold(self, lease: Lease) -> None:
        """Note what is given back when the call ends, at the latest."""
        self.leases.add(lease)

    def let_go(self, lease: Lease) -> None:
        """Give back something early."""
        self.leases.discard(lease)
        lease.release()

    def end(self) -> None:
        """Give back what it holds still."""
        while self.leases:
            self.leases.pop().release()


def complete() -> None:
    """Note that the message which goes out now is the last one of the call under way."""
    call = CALL.get()
    if call is not None:
        call.complete = True


#: The call that the current task serves; None outside of one.
CALL: ContextVar[Call | None] = ContextVar("call", default=None)
