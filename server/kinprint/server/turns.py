"""Turns of calls at the cores: few at a time, the others in a queue whose delay is controlled.

A queue that absorbs a burst is good, one that stands is only a wait for everybody.  So a call waits for long only while
the queue was empty a moment ago; in one that stands it waits for a part of the time that a call takes, and is refused
after that.  Whatever is asked of the server, what it admits is answered about as fast as ever.

Sources: Nichols and Jacobson, "Controlling Queue Delay", ACM Queue 10(5), 2012; for calls, Maurer, "Fail at Scale",
ACM Queue 13(8), 2015.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable

from kinprint.server.failures import Overloaded

#: A turn that lasts longer, in seconds, no longer counts: long calls share the cores with the others, by the
#: scheduler of the system, and keep none of them waiting. No more of them than there are places, though: under load
#: every call gets long, and if none counted, ever more would run and each be longer still.
LONG = 0.25
#: Seconds for which the queue may hold somebody before it stands; more than a turn counts.
INTERVAL = 0.3
#: Seconds that a call may wait in a queue that does not stand.
BURST = 0.5
#: In one that stands: this part of the time that calls take, and no less than so many seconds.
PART, LEAST = 0.5, 0.005
#: A queue goes on to stand until so many seconds have passed without a refusal.
CALM = 1.0
#: Seconds after which a refused call may be tried again.
RETRY = 0.5
#: Weight of the newest call in the mean time.
_WEIGHT = 0.05


class Turn:
    """A call's turn; `end` may be called again."""

    __slots__ = ("_began", "_long", "_timer", "_turns")

    def __init__(self, turns: Turns, began: float) -> None:
        self._turns: Turns | None = turns
        self._began = began
        self._long = False
        self._timer = asyncio.get_running_loop().call_later(LONG, self._lasts)

    def _lasts(self) -> None:
        if self._turns is not None:
            self._long = self._turns._let_by()

    def end(self) -> None:
        """Let the next one begin."""
        turns, self._turns = self._turns, None
        if turns is not None:
            self._timer.cancel()
            turns._ended(self._began, self._long)


class Turns:
    """See the module's text.  Use from one event loop.

    Parameters
    ----------
    places
        Turns at a time: about the cores.
    most
        Calls that wait, at the most.
    clock
        Seconds that never run backwards.
    """

    def __init__(self, places: int, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        if places < 1:
            raise ValueError("there is no place")
        self._places = places
        self._most = most
        self._clock = clock
        self._free = places
        self._long = 0
        self._waiting: OrderedDict[asyncio.Future[None], None] = OrderedDict()
        self._held_since = 0.0
        self._refused = -CALM
        self._mean = LEAST

    @property
    def waiting(self) -> int:
        """Calls that wait for their turn."""
        return len(self._waiting)

    def patience(self) -> float:
        """Seconds that a call which comes now may wait."""
        now = self._clock()
        stands = now - self._refused < CALM or (bool(self._waiting) and now - self._held_since > INTERVAL)
        return min(BURST, max(LEAST, PART * self._mean)) if stands else BURST

    async def take(self) -> Turn:
        """A turn as soon as there is one.  Raises Overloaded."""
        if self._free and not self._waiting:
            self._free -= 1
            return Turn(self, self._clock())
        if len(self._waiting) >= self._most:
            raise self._refusal()
        patience = self.patience()
        if not self._waiting:
            self._held_since = self._clock()
        loop = asyncio.get_running_loop()
        given: asyncio.Future[None] = loop.create_future()
        self._waiting[given] = None
        timer = loop.call_later(patience, self._give_up, given)
        try:
            await given
        except asyncio.CancelledError:
            if given.done() and not given.cancelled() and given.exception() is None:  # given at the same moment
                self._pass_on()
            else:
                self._waiting.pop(given, None)
            raise
        finally:
            timer.cancel()
        return Turn(self, self._clock())

    def _give_up(self, given: asyncio.Future[None]) -> None:
        if not given.done():
            self._waiting.pop(given, None)
            given.set_exception(self._refusal())

    def _refusal(self) -> Overloaded:
        self._refused = self._clock()
        return Overloaded(
            f"the server is asked for more than it can do, and {len(self._waiting)} calls wait already; "
            "try again in a moment",
            retry_after=RETRY,
        )

    def _let_by(self) -> bool:
        """Whether a call that lasts gives its place to another."""
        if self._long >= self._places:
            return False
        self._long += 1
        self._pass_on()
        return True

    def _ended(self, began: float, long: bool) -> None:
        self._mean += _WEIGHT * (min(LONG, self._clock() - began) - self._mean)
        if long:
            self._long -= 1
        else:
            self._pass_on()

    def _pass_on(self) -> None:
        while self._waiting:
            given, _ = self._waiting.popitem(last=False)
            if not given.done():
                given.set_result(None)
                return
        self._free += 1
