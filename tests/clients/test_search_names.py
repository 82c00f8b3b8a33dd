"""`search`, `search_many` and `SearchQuery` have the same names."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import pytest
from kinprint.client import AsyncClient, Client, Filter, InvalidArgumentError, SearchQuery
from kinprint.client.convert.match import query_of, search_request

FIELDS = {field.name: field.default for field in dataclasses.fields(SearchQuery)}


def parameters(method: Any) -> dict[str, Any]:
    found = inspect.signature(method).parameters.values()
    return {item.name: item.default for item in found if item.name not in ("self", "timeout")}


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_names_and_defaults_are_the_same(kind: type[Client] | type[AsyncClient]) -> None:
    assert parameters(kind.search) == FIELDS
    many = parameters(kind.search_many)
    assert many.pop("window") == 64
    assert many.pop("queries") is inspect.Parameter.empty
    assert many == {name: default for name, default in FIELDS.items() if name not in ("text", "id")}


def test_queries_take_what_they_do_not_say_from_the_call() -> None:
    common = SearchQuery(corpora="news", top=3, channels="style", max_evidence=0)
    assert query_of("a text", common) == dataclasses.replace(common, text="a text")
    assert query_of({"id": "x", "top": 5}, common) == dataclasses.replace(common, id="x", top=5)
    alone = SearchQuery(text="a text")
    assert query_of(alone, common) is alone
    with pytest.raises(InvalidArgumentError, match="min_score") as caught:
        query_of({"text": "x", "minscore": 1}, common)
    assert [item.field for item in caught.value.field_violations] == ["minscore"]
    with pytest.raises(InvalidArgumentError, match="not bytes"):
        query_of(b"bytes", common)  # type: ignore[arg-type]


def test_a_name_alone_is_a_list_of_it() -> None:
    request = search_request(
        SearchQuery(text="x", corpora="news", channels="copy", filter=Filter(models="m", languages="en"))
    )
    assert list(request.corpora) == ["news"]
    assert len(request.channels) == 1
    assert (list(request.filter.models), list(request.filter.languages)) == (["m"], ["en"])
    assert list(search_request(SearchQuery(id="x", corpora="news")).corpora) == ["news"]


def test_the_number_of_hits_with_evidence_may_be_left_to_the_server() -> None:
    assert not search_request(SearchQuery(text="x", corpus="news")).HasField("max_evidence")
    asked = search_request(SearchQuery(text="x", corpus="news", max_evidence=0))
    assert asked.HasField("max_evidence")
    assert asked.max_evidence == 0
    for wrong in (-1, 1.5, "2"):
        with pytest.raises(InvalidArgumentError, match="max_evidence"):
            search_request(SearchQuery(text="x", corpus="news", max_evidence=wrong))  # type: ignore[arg-type]
