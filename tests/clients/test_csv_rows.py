"""CSV as people have it: delimiters, index columns, carriage returns, and quotation marks that were not doubled."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kinprint.client.files.csv_rows import CsvRows, HeaderError, delimiter_of
from kinprint.client.files.rows import RowError


def read(text: str | bytes, delimiter: str = ",") -> tuple[list[dict[str, Any]], list[tuple[int, str]]]:
    """Rows, and (number, reason) of those that cannot be read."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    good, bad = [], []
    for number, row in CsvRows(io.BytesIO(data), delimiter):
        if isinstance(row, RowError):
            bad.append((number, row.reason))
        else:
            good.append(row)
    return good, bad


def table(rows: list[str], header: str = "id,response") -> str:
    return "\n".join([header, *rows]) + "\n"


# ---- delimiters, headers ----


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("usual", [",", "\t"])
def test_the_delimiter_is_told_by_the_first_lines(delimiter: str, usual: str) -> None:
    sink = io.StringIO()
    writer = csv.writer(sink, delimiter=delimiter)
    texts = ["one, two; three", 'a "word" | another\nand a line', "tab\there"]
    writer.writerows([["id", "response"], *enumerate(texts)])
    assert [row["response"] for row in read(sink.getvalue(), usual)[0]] == texts


def test_a_column_alone_is_not_divided() -> None:
    texts = ["first; second; third", "a, b", "x; y; z"]
    assert delimiter_of("response\n" + "\n".join(texts), ",", complete=True) == ","
    good, bad = read("response\n" + "\n".join(texts) + "\n")
    assert [row["response"] for row in good] == ["first; second; third", "x; y; z"]
    assert bad == [(2, "COLUMN_COUNT")]


def test_a_line_for_spreadsheets() -> None:
    assert read("sep=;\r\nid;response\r\n1;a, b\r\n")[0] == [{"id": "1", "response": "a, b"}]


def test_an_index_without_a_name_is_left_out() -> None:
    rows = CsvRows(io.BytesIO(b",response,Unnamed: 2\n0,a,x\n1,b,y\n"), ",")
    assert rows.columns == ["response"]
    assert len(rows.dropped) == 2
    assert "an index without a name" in rows.dropped[0]
    assert [row for _, row in rows] == [{"response": "a"}, {"response": "b"}]


@pytest.mark.parametrize("text", ["", "response,response\n", '"response\nand no end'])
def test_headers_that_are_none(text: str) -> None:
    with pytest.raises(HeaderError):
        read(text)


# ---- carriage returns ----


def test_carriage_returns() -> None:
    assert read("id,response\r1,a\r2,b\r")[0] == [{"id": "1", "response": "a"}, {"id": "2", "response": "b"}]
    good, bad = read('id,response\n1,up\rdown\n2,"up\rdown"\n3,"up\r\ndown"\r\n4,end\r\n')
    assert [row["response"] for row in good] == ["up\rdown", "up\rdown", "up\r\ndown", "end"]
    assert not bad


# ---- quotation marks ----

PLAIN = [f"{number},the {number}th boat of the morning" for number in range(1, 101)]


def with_rows(changed: dict[int, str]) -> str:
    return table([changed.get(number, row) for number, row in enumerate(PLAIN, 1)])


def test_a_mark_that_is_never_closed_costs_its_row() -> None:
    good, bad = read(with_rows({2: '2,"the boat', 50: '50,"a boat, too"', 70: '70,"two\nlines ""here"""'}))
    assert bad == [(2, "INVALID_CSV")]
    assert [row["id"] for row in good] == [str(number) for number in range(1, 101) if number != 2]
    assert good[68]["response"] == 'two\nlines "here"'


@pytest.mark.parametrize("numbers", [(2, 3), (2, 40), (10, 11, 12), (99, 100), (1,), (100,)])
def test_each_of_several_costs_itself(numbers: tuple[int, ...]) -> None:
    good, bad = read(with_rows({number: f'{number},"boat' for number in numbers}))
    assert bad == [(number, "INVALID_CSV") for number in numbers]
    assert len(good) == 100 - len(numbers)


def test_marks_within_a_quoted_answer_cost_it_whole() -> None:
    good, bad = read(
        with_rows({2: '2,"He said "yes" to it\nand this is the rest, of the same answer\nand the end of it"'})
    )
    assert bad == [(2, "INVALID_CSV")]
    assert len(good) == 99
    good, bad = read('response\n"He said "yes" to it\nand this is the rest\nand the end of it"\nanother row\n')
    assert bad == [(1, "INVALID_CSV")]
    assert good == [{"response": "another row"}]


def test_a_mark_within_an_unquoted_cell_is_text() -> None:
    good, bad = read(with_rows({2: '2,5" of snow', 3: '3,he said "yes"'}))
    assert not bad
    assert [row["response"] for row in good[1:3]] == ['5" of snow', 'he said "yes"']


def test_one_column_with_a_mark_that_is_never_closed() -> None:
    texts = [f"row {number}" for number in range(40)]
    good, bad = read("response\n" + "\n".join([*texts[:5], '"row', *texts[5:]]) + "\n")
    assert [row["response"] for row in good] == texts
    assert bad == [(6, "INVALID_CSV")]
    # The rest of an answer that was cut off is no row.
    good, bad = read('response\nwhole\n"cut off\n\n' + "and more\n" * 40)
    assert (good, bad) == ([{"response": "whole"}], [(2, "INVALID_CSV")])


def test_a_file_cut_within_an_answer() -> None:
    good, bad = read('id,response\n1,x\n2,"cut\noff, here\nand he')
    assert good == [{"id": "1", "response": "x"}]
    assert bad == [(2, "INVALID_CSV")]


def test_a_wrong_number_of_cells() -> None:
    good, bad = read('id,response\n1,a,b\n2\n3,"x\ny",z\n4,fine\n')
    assert good == [{"id": "4", "response": "fine"}]
    assert bad == [(number, "COLUMN_COUNT") for number in (1, 2, 3)]


CELL = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('",;\t|\r\n '), max_size=12)


@given(
    st.lists(st.tuples(CELL.filter(bool), CELL), min_size=1, max_size=8),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_is_written_by_the_rules_is_read(rows: list[tuple[str, str]], delimiter: str, end: str) -> None:
    sink = io.StringIO()
    # All quoted: Python before 3.11.9 leaves a lone carriage return bare.
    writer = csv.writer(sink, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([("id", "response"), *rows])
    good, bad = read(sink.getvalue(), delimiter)
    assert not bad
    assert [(row["id"], row["response"]) for row in good] == rows


@given(st.text(st.sampled_from('ab",\n\r;'), max_size=60))
def test_every_text_ends(text: str) -> None:
    rows = [*read("id,response\n" + text)[0], *read("response\n" + text)[0]]
    assert len(rows) <= 2 * (text.count("\n") + text.count("\r") + 1)


def test_the_header_tells_the_delimiter_where_a_mark_is_astray() -> None:
    text = 'id;model;response\n1;a;"One, two, three"\n2;"stray A, good;"Yes, it is, well"\n3;b;"Four, five,\nsix"\n'
    assert delimiter_of(text, ",", complete=True) == ";"
    assert delimiter_of("response\nOne, two\nThree, four, five\n", ",", complete=True) == ","
