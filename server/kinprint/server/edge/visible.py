"""The corpora that the caller may see. Services look corpora up here and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence

from kinprint.server.corpus.catalog import Catalog
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.edge.principal import Principal, Role, current
from kinprint.server.failures import CorpusNotFound, CorpusUnavailable, TooManyCorpora
from kinprint.server.state import State
from kinprint.server.wording import counted

#: Names that a refusal lists, and characters of the name that was asked for which it repeats.
_LISTED, _REPEATED = 10, 63


class Visible:
    """A catalog as a principal sees it: a corpus that it may not see does not exist.

    The same methods as `Catalog` has, with the same errors: a name that is not to be seen is refused word for word as
    one that is not there, and is in no list, suggestion or count.
    """

    def __init__(self, catalog: Catalog, principal: Principal) -> None:
        self._catalog = catalog
        self._principal = principal

    def names(self) -> list[str]:
        """Names of the open corpora, sorted."""
        return [name for name in self._catalog.names() if self._principal.may_see(name)]

    @property
    def unavailable(self) -> dict[str, str]:
        """Names of the corpora that could not be opened, and why."""
        found = self._catalog.unavailable.items()
        return {name: self._problem(text) for name, text in found if self._principal.may_see(name)}

    def _problem(self, text: str) -> str:
        # It names folders of the server, perhaps those of other corpora.
        if self._principal.keeper:
            return text
        return "it could not be opened; the server's log says why"

    def get(self, name: str, field: str = "corpus") -> Corpus:
        """The corpus of a name.  Raises InvalidField without a name, CorpusNotFound, CorpusUnavailable."""
        if name and not self._principal.may_see(name):
            raise self._missing(name, field)
        try:
            return self._catalog.get(name, field)
        except CorpusNotFound:
            raise self._missing(name, field) from None
        except CorpusUnavailable as failure:
            if self._principal.keeper:
                raise
            raise CorpusUnavailable(
                f"corpus {name!r} is unavailable: {self._problem('')}", field=failure.field
            ) from None

    def _missing(self, name: str, field: str) -> CorpusNotFound:
        names = self.names()
        known = ", ".join(names[:_LISTED]) or "none yet"
        if len(names) > _LISTED:
            known += f" and {len(names) - _LISTED} more"
        asked = repr(name) if len(name) <= _REPEATED else f"{name[:_REPEATED]!r}..., {len(name)} characters,"
        return CorpusNotFound(f"there is no corpus {asked} here (corpora: {known})", field=field)

    def several(self, names: Sequence[str], field: str = "corpora") -> list[Corpus]:
        """Corpora of 1 to 100 names, each once, in the order of their first mention."""
        Catalog.check_count(names, field)
        found = {name: self.get(name, f"{field}[{i}]") for i, name in enumerate(names)}
        return list(found.values())

    def check_creatable(self, name: str, field: str = "name") -> None:
        """Raise what creating a corpus of that name raises for the name or the principal."""
        self._catalog.check_name(name)
        self._principal.require(Role.WRITE, "creating a corpus")
        self._principal.require_sight(name, field)

    def check_room(self, name: str, most: int) -> None:
        """Raise what creating a corpus of that name raises, or TooManyCorpora where it would be one too many."""
        if name in self.names():
            return
        self.check_creatable(name)
        known = {*self._catalog.names(), *self._catalog.unavailable}
        if name not in known and len(known) >= most:
            raise TooManyCorpora(
                f"there may be {counted(most, 'corpus', 'corpora')} here at most; delete one, or use another server"
            )

    def create(self, name: str, description: str = "") -> Corpus:
        """Make an empty corpus.  Raises InvalidField, CorpusExists, StorageFull, CorpusForbidden."""
        self.check_creatable(name)
        return self._catalog.create(name, description)

    def get_or_create(self, name: str) -> Corpus:
        """The corpus of a name, made if it is not there."""
        self.check_creatable(name)
        return self._catalog.get_or_create(name)

    def deletable(self, name: str) -> Corpus | None:
        """What `delete` would delete as far as it is or was open.  Raises what `get` raises.

        A damaged corpus that does not tell its name may be another's whose name its folder is alike: that is for those
        who may see all of them.
        """
        if name not in self.unavailable:
            return self.get(name, "name")
        if not (self._principal.keeper or self._catalog.names_itself(name)):
            raise CorpusUnavailable(
                f"corpus {name!r} is unavailable, and too damaged to tell whose it is: an administrator who is bound "
                "to no corpora can delete it",
                field="name",
            )
        return self._catalog.deletable(name)

    def delete(self, name: str) -> int:
        """Delete a corpus with all it holds; returns its number of transcripts, 0 where that is not known."""
        self.deletable(name)
        return self._catalog.delete(name)


def visible(state: State) -> Visible:
    """The corpora that the caller of the call under way may see. Raises LookupError outside of calls."""
    return Visible(state.catalog, current())
