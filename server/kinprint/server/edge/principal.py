"""Who calls: a principal with a role, bound to corpora. The guard sets it around every call; services ask for it."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from enum import IntEnum

from kinprint.server.failures import CorpusForbidden, RoleTooLow


class Role(IntEnum):
    """What a principal may do; each role may do what those below it may."""

    #: Search, compare, list and fetch; run jobs over corpora, and see and cancel its own.
    READ = 1
    #: Load, delete and fill transcripts; create the corpora that it is bound to, or any where it is bound to none.
    WRITE = 2
    #: Purge, delete corpora, change their models, see and cancel the jobs of others.
    ADMIN = 3

    @property
    def word(self) -> str:
        """As people write it."""
        return self.name.lower()


def role_of(word: str) -> Role:
    """The role of a word. Raises ValueError."""
    try:
        return Role[word.upper()]
    except KeyError:
        raise ValueError(f"there is no role {word!r}; give read, write or admin") from None


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller, as the guard found out.

    name: id of the API key, `token:SUBJECT` of a bearer token, or LOCAL's and ANONYMOUS's.
    corpora: names that it may see; None: all.
    expires_at: seconds of the epoch after which it is no principal any more; None: never.
    key: id of the API key that it stands for; "": it stands for none.
    """

    name: str
    role: Role
    corpora: frozenset[str] | None = None
    expires_at: float | None = None
    key: str = ""

    def may_see(self, corpus: str) -> bool:
        """Whether a corpus of this name exists for it."""
        return self.corpora is None or corpus in self.corpora

    @property
    def keeper(self) -> bool:
        """Whether it may see and do everything."""
        return self.role is Role.ADMIN and self.corpora is None

    def require(self, role: Role, what: str) -> None:
        """Raise RoleTooLow unless it has a role, or one above. `what` is what that is needed for."""
        if self.role < role:
            raise RoleTooLow(
                f"{what} needs the role {role.word}, and {self.name} has {self.role.word}; ask whoever runs the "
                f"server for another key (kinprint keys create --role {role.word})"
            )

    def require_sight(self, corpus: str, field: str) -> None:
        """Raise CorpusForbidden for a name that it may not use, whether there is such a corpus or not."""
        if not self.may_see(corpus):
            raise CorpusForbidden(
                f"{self.name} is bound to other corpora and may not use this name; ask whoever runs the server for a "
                "key that is bound to it (kinprint keys create --corpus NAME)",
                field=field,
            )


#: Whoever may open the Unix socket, which its owner alone may.
LOCAL = Principal("local", Role.ADMIN)
#: Whoever calls over TCP where no keys are asked for.
ANONYMOUS = Principal("anonymous", Role.ADMIN)

_current: ContextVar[Principal] = ContextVar("principal")


def current() -> Principal:
    """The principal of the call under way. Raises LookupError outside of calls, so that nothing is let by."""
    return _current.get()


def act_for(principal: Principal) -> None:
    """From here on, to the end of the task (gRPC runs each call in one of its own), act for a principal."""
    _current.set(principal)
