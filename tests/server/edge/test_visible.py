"""A catalog as principals see it, and that nobody gets round it."""

from __future__ import annotations

import ast
import contextvars
import shutil
from pathlib import Path

import kinprint.server.services
import pytest
from kinprint.server.corpus.catalog import Catalog
from kinprint.server.edge.principal import LOCAL, Principal, Role, act_for, current
from kinprint.server.edge.visible import Visible
from kinprint.server.failures import (
    CorpusExists,
    CorpusForbidden,
    CorpusNotFound,
    CorpusUnavailable,
    Failure,
    InvalidField,
    RoleTooLow,
)

OURS = Principal("key ours", Role.ADMIN, frozenset({"ours", "damaged", "new"}))


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    root = tmp_path_factory.mktemp("data")
    made = Catalog(root)
    made.open_all(lambda step: None)
    for name in ("ours", "theirs", "damaged", "hurt"):
        made.create(name)
    for folder in made.root.iterdir():
        if folder.name.startswith(("damaged", "hurt")):
            (folder / "corpus.json").write_text("{")
    opened = Catalog(root)
    opened.open_all(lambda step: None)
    assert len(opened.unavailable) == 2
    return opened


def told(call: object) -> tuple[type, str, str | None]:
    with pytest.raises(Failure) as refused:
        call()  # type: ignore[operator]
    return type(refused.value), refused.value.message, refused.value.field


def test_the_owner_sees_what_is_there(catalog: Catalog) -> None:
    seen = Visible(catalog, LOCAL)
    assert seen.names() == catalog.names() == ["ours", "theirs"]
    assert seen.unavailable == catalog.unavailable
    assert seen.get("theirs") is catalog.get("theirs")
    for name in ("nowhere", "", "hurt"):
        assert told(lambda name=name: seen.get(name, "f")) == told(lambda name=name: catalog.get(name, "f"))


def test_what_is_not_to_be_seen_is_not_there(catalog: Catalog) -> None:
    seen = Visible(catalog, OURS)
    assert seen.names() == ["ours"]
    assert seen.several(["ours", "ours"]) == [catalog.get("ours")]
    kind, message, field = told(lambda: seen.get("nowhere", "f"))
    assert (kind, field) == (CorpusNotFound, "f")
    for name in ("theirs", "hurt", "THEIRS", "Ours"):
        assert told(lambda name=name: seen.get(name, "f")) == (kind, message.replace("nowhere", name), field)
        assert told(lambda name=name: seen.delete(name))[0] is CorpusNotFound
    assert told(lambda: seen.several(["ours", "theirs"]))[::2] == (CorpusNotFound, "corpora[1]")
    assert told(lambda: seen.several([]))[0] is InvalidField
    assert catalog.names() == ["ours", "theirs"]


def test_a_damaged_corpus_tells_its_folder_to_the_owner_alone(catalog: Catalog) -> None:
    assert str(catalog.root) in told(lambda: Visible(catalog, LOCAL).get("damaged"))[1]
    seen = Visible(catalog, OURS)
    kind, message, _ = told(lambda: seen.get("damaged"))
    assert kind is CorpusUnavailable
    assert "damaged" in message
    assert str(catalog.root) not in message
    assert list(seen.unavailable) == ["damaged"]
    assert str(catalog.root) not in seen.unavailable["damaged"]


def test_a_damaged_corpus_is_deleted_by_who_may_know_whose_it_is(tmp_path: Path) -> None:
    made = Catalog(tmp_path)
    made.open_all(lambda step: None)
    folders = {name: made.create(name).folder for name in ("ours", "damaged", "theirs")}
    shutil.rmtree(folders["ours"] / "record")  # corpus.json still tells the name
    (folders["damaged"] / "corpus.json").write_text("{")  # nothing does but the folder
    shutil.rmtree(folders["theirs"] / "record")
    catalog = Catalog(tmp_path)
    catalog.open_all(lambda step: None)
    assert sorted(catalog.unavailable) == ["damaged", "ours", "theirs"]
    assert "kinprint delete --corpus ours --all" in catalog.unavailable["ours"]
    seen = Visible(catalog, OURS)
    assert told(lambda: seen.delete("theirs"))[0] is CorpusNotFound
    kind, message, _ = told(lambda: seen.delete("damaged"))
    assert kind is CorpusUnavailable
    assert "bound to no corpora" in message
    assert seen.delete("ours") == 0
    assert Visible(catalog, LOCAL).delete("damaged") == 0
    assert sorted(catalog.unavailable) == ["theirs"]
    assert [path.name for path in catalog.root.iterdir()] == [folders["theirs"].name]
    assert catalog.create("ours").name == "ours"


def test_a_corpus_that_was_found_damaged_while_open_is_deleted_with_its_rows_counted(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    catalog.open_all(lambda step: None)
    corpus = catalog.create("c")
    catalog.set_aside(corpus, "a file of it is damaged")
    seen = Visible(catalog, LOCAL)
    assert seen.deletable("c") is corpus
    assert seen.delete("c") == 0
    assert corpus.deleted  # whoever writes to it is told
    assert not catalog.unavailable


def test_names_of_others_are_not_to_be_had_whether_taken_or_not(catalog: Catalog) -> None:
    seen = Visible(catalog, OURS)
    taken, free = (told(lambda name=name: seen.create(name)) for name in ("theirs", "nowhere"))
    assert taken == free
    assert taken[0] is CorpusForbidden
    assert told(lambda: seen.get_or_create("theirs"))[0] is CorpusForbidden
    assert told(lambda: seen.create("ours"))[0] is CorpusExists
    assert told(lambda: seen.create("no name"))[0] is InvalidField
    reader = Visible(catalog, Principal("key read", Role.READ))
    assert told(lambda: reader.get_or_create("another"))[0] is RoleTooLow
    assert seen.get_or_create("new").name == "new"
    seen.delete("new")


def test_a_refusal_lists_ten_names_and_repeats_no_long_one(catalog: Catalog) -> None:
    many = [f"c{k:02d}" for k in range(12)]
    for name in many:
        catalog.create(name)
    message = told(lambda: Visible(catalog, LOCAL).get("x" * 20_000))[1]
    assert len(message) < 300
    assert "20000 characters" in message
    assert "c09 and 4 more" in message
    assert "c10" not in message
    for name in many:
        catalog.delete(name)


def test_outside_of_a_call_nobody_is_let_by() -> None:
    with pytest.raises(LookupError):
        contextvars.Context().run(current)
    assert contextvars.copy_context().run(lambda: act_for(OURS) or current()) is OURS


def test_services_look_corpora_up_as_their_callers() -> None:
    """`state.catalog` knows no caller: in services it must not occur."""
    wrong = [
        f"{path.name}:{node.lineno}"
        for path in Path(kinprint.server.services.__path__[0]).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "catalog"
    ]
    assert wrong == []
