"""CSV as people have it: any usual delimiter, quotes over lines, an index column, and rows with a stray quotation mark.

A file that keeps to RFC 4180 is read as it says. Where a record breaks its rules, `_Recovery` decides which lines are
that record, so that a quotation mark too many costs its row and not those after it.
"""

from __future__ import annotations

import csv
import io
import re
from collections import deque
from collections.abc import Container, Iterator, Sequence
from itertools import islice
from typing import IO, Any

from kinprint.client.files.encoding import Prefixed
from kinprint.client.files.rows import RowError

DELIMITERS = (",", ";", "\t", "|")
_RECORD_BYTES = 64 << 20
_SAMPLE = 1 << 16
_SAMPLE_ROWS = 30
# How far the end of a broken record is looked for, and how many rows in it speak for another beginning.
_FAR_LINES, _FAR_CHARACTERS, _ENOUGH, _MOST, _FEW_LINES = 2000, 1 << 20, 3, 0.6, 10
# Stands for a carriage return within a line while that is parsed; no decoder makes it of any bytes.
_LONE_CR = "\ud800"
_UNNAMED = re.compile(r"(Unnamed: \d+(_level_\d+)?)?")


class HeaderError(Exception):
    """The header cannot be read; the message says why."""


class CsvRows:
    """Rows of a CSV text, numbered from 1 without the header; iterate once.

    Args:
        stream: the text as UTF-8.
        delimiter: the one to take unless another fits the first lines clearly better.
        answers: columns in which an empty cell is a value. In others it is none.

    Attributes:
        delimiter: the one that is used.
        columns: names in the header, without those that are dropped.
        dropped: a line on each column that is left out because it has no name, such as the index that pandas writes.

    Raises:
        HeaderError: there is no header, or it names a column twice.
    """

    def __init__(self, stream: IO[bytes], delimiter: str, answers: Container[str] = ("response",)) -> None:
        csv.field_size_limit(max(csv.field_size_limit(), _RECORD_BYTES))
        head = stream.read(_SAMPLE)
        # Bytes that are not UTF-8 become lone surrogates, which cost their row and no other.
        end = "\r" if b"\n" not in head and b"\r" in head else "\n"
        whole = io.BufferedReader(Prefixed(head, stream), _SAMPLE)
        self._text = io.TextIOWrapper(whole, encoding="utf-8", errors="surrogateescape", newline=end)
        self._pushed: deque[str] = deque()
        self._taken: list[str] = []
        self._taken_bytes = 0
        sample = head.decode("utf-8", "surrogateescape")
        if sample[:4].lower() == "sep=" and sample[4:6].strip("\r\n"):
            # A line for spreadsheets, before the header.
            self.delimiter = sample[4]
            self._text.readline()
        else:
            self.delimiter = delimiter_of(sample, delimiter, complete=len(head) < _SAMPLE)
        self._header = self._read_header()
        self._answers = answers
        self.dropped: list[str] = []
        for place, column in enumerate(self._header):
            if _UNNAMED.fullmatch(column):
                what = (
                    "its first column, an index without a name" if place == 0 else f"column {place + 1}, without a name"
                )
                self.dropped.append(f"{what}, is left out")
        self.columns = [column for column in self._header if not _UNNAMED.fullmatch(column)]
        repeated = sorted({column for column in self.columns if self.columns.count(column) > 1})
        if repeated:
            raise HeaderError(f"the header repeats {', '.join(repeated)}")
        self._recovery = _Recovery(self.delimiter, len(self._header))

    def _read_header(self) -> list[str]:
        try:
            header = next(self._reader(), None)
        except csv.Error as error:
            raise HeaderError(f"the header cannot be read: {error}") from error
        if header is None:
            raise HeaderError("the file is empty")
        self._taken, self._taken_bytes = [], 0
        return [column.strip() for column in header]

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any] | RowError]]:
        number, line = 0, 1
        reader = self._reader()
        width = len(self._header)
        unnamed = {column for column in self._header if _UNNAMED.fullmatch(column)}
        while True:
            problem: RowError | None = None
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                cells = []
                problem = RowError("INVALID_CSV", str(error))
            else:
                if not cells:
                    line += len(self._taken)
                    self._taken, self._taken_bytes = [], 0
                    continue
                if len(cells) != width:
                    problem = RowError("COLUMN_COUNT", f"{len(cells)} cells under {width} columns")
            number += 1
            begin = line + 1
            if problem is not None and (problem.reason == "INVALID_CSV" or len(self._taken) > 1):
                self._give_back(closed=problem.reason == "COLUMN_COUNT")
                reader = self._reader()
                if problem.reason == "INVALID_CSV":
                    problem = RowError("INVALID_CSV", f"line {begin}: a stray quotation mark: {problem.message}")
            line += len(self._taken)
            lone_cr = any(_LONE_CR in text for text in self._taken)
            self._taken, self._taken_bytes = [], 0
            if problem is not None:
                yield number, problem
                continue
            row = {
                column: cell
                for column, cell in zip(self._header, cells, strict=True)
                # An empty cell is an absent value; an empty answer is an answer, though a blank one.
                if (cell or column in self._answers) and column not in unnamed
            }
            if lone_cr:
                row = {column: cell.replace(_LONE_CR, "\r") for column, cell in row.items()}
            yield number, row

    def _reader(self) -> Any:
        return csv.reader(self._lines(), delimiter=self.delimiter, strict=True)

    def _lines(self) -> Iterator[str]:
        """Lines, each noted as taken by the record under way."""
        while line := self._next_line():
            self._taken.append(line)
            self._taken_bytes += len(line)
            if self._taken_bytes > _RECORD_BYTES:
                raise csv.Error("the record is longer than 64 MiB")
            yield line

    def _next_line(self) -> str:
        if self._pushed:
            return self._pushed.popleft()
        line = self._text.readline()
        if "\r" in line and line.endswith("\n"):
            body, end = (line[:-2], "\r\n") if line.endswith("\r\n") else (line[:-1], "\n")
            if "\r" in body:
                line = body.replace("\r", _LONE_CR) + end
        elif "\r" in line[:-1]:
            line = line[:-1].replace("\r", _LONE_CR) + line[-1]
        return line

    def _give_back(self, *, closed: bool) -> None:
        """Leave the lines of the broken record among those taken; give back what is after it."""
        lines = self._taken
        end: int | None = len(lines)
        if not closed:
            end, size, quoted = None, 0, False
            for place in range(_FAR_LINES):
                if place == len(lines):
                    if not (line := self._next_line()):
                        break
                    lines.append(line)
                size += len(lines[place])
                quoted = self._recovery.quoted_after(lines[place], quoted)
                if not quoted:
                    end = place + 1
                    break
                if size > _FAR_CHARACTERS:
                    break
        count = self._recovery.lines_of_record(lines, end)
        self._pushed.extendleft(reversed(lines[count:]))
        del lines[count:]


class _Recovery:
    """Decides which lines a broken record is made of.

    Either its text is quoted and has quotation marks that were not doubled: it goes on to where one stands before a
    delimiter or a line's end. Or it has one mark too many: it is one line, and the lines after it are rows of their
    own, which is believed when they parse as such.
    """

    def __init__(self, delimiter: str, columns: int) -> None:
        mark = re.escape(delimiter)
        cell = rf'(?:"(?:[^"]|"")*+"|[^"{mark}\r\n]*+)'
        self._row = re.compile(rf"{cell}(?:{mark}{cell}){{{columns - 1}}}(?:\r?\n|\Z)")
        # A row that has one mark too many itself.
        self._opening = re.compile(rf'(?:{cell}{mark}){{1,{max(columns - 1, 1)}}}"[^"]*\Z')
        self._delimiter = delimiter
        self._columns = columns

    def quoted_after(self, line: str, quoted: bool) -> bool:
        """Whether text is quoted at the end of a line, if quotation marks may stand in it; `quoted` tells it before."""
        body = line.rstrip("\r\n")
        at = 0
        while True:
            if quoted:
                at = body.find('"', at)
                if at < 0:
                    return True
                after = body[at + 1 : at + 2]
                if after == '"':
                    at += 2
                    continue
                at += 1
                if not after:
                    return False
                if after != self._delimiter:
                    continue
                quoted = False
                at += 1
            elif body.startswith('"', at):
                quoted = True
                at += 1
                continue
            else:
                found = body.find(self._delimiter, at)
                if found < 0:
                    return False
                at = found + 1

    def lines_of_record(self, lines: Sequence[str], end: int | None) -> int:
        """How many of the lines, at least 1, are the broken record.

        Args:
            lines: from its beginning on.
            end: how many they are if quotation marks may stand in it; None: it does not end, then.
        """
        if end == 1:
            return 1
        rest = lines[1 : min(end or _FAR_LINES, _FAR_LINES)]
        text = "".join(rest)
        at = rows = 0
        while at < len(text) and (match := self._row.match(text, at)) is not None and match.end() > at:
            at = match.end()
            rows += 1
        if self._columns == 1:
            # Any line is a row, here: one that has a quotation mark of its own closes the text before it, and what
            # goes on to the end of the file is the rest of an answer if there is little of it, or a paragraph's end.
            if end is None:
                few = (
                    len(lines) <= _FEW_LINES or not lines[-1].endswith(("\n", "\r")) or any(not x.strip() for x in rest)
                )
                return len(lines) if few else 1
            return 1 if at == len(text) else end
        alone = sum(bool(self._row.fullmatch(line) or self._opening.match(line)) for line in rest)
        if at == len(text) or rows >= _ENOUGH or alone > _MOST * len(rest):
            return 1
        return len(lines) if end is None and len(lines) < _FAR_LINES else end or 1


def delimiter_of(sample: str, usual: str, *, complete: bool) -> str:
    """The delimiter of a text, of which `sample` is the beginning.

    `usual` if it splits the header and most rows alike; another one that does so; where none does, as with a quotation
    mark astray, the one that splits the header into most cells if `usual` splits it into none; or `usual` again.
    """
    lines = sample.splitlines(keepends=True)
    if not complete:
        lines = lines[:-1] or lines
    best = (0.0, 1, usual)
    for delimiter in sorted(DELIMITERS, key=lambda item: item != usual):
        try:
            rows = [row for row in islice(csv.reader(lines, delimiter=delimiter), _SAMPLE_ROWS) if row]
        except csv.Error:
            continue
        if not rows or len(rows[0]) < 2:
            continue
        width = len(rows[0])
        fit = sum(len(row) == width for row in rows[1:]) / max(len(rows) - 1, 1) if len(rows) > 1 else 1.0
        if delimiter == usual and fit >= 0.5:
            return usual
        best = max(best, (fit, width, delimiter), key=lambda item: item[:2])
    if best[0] >= 0.5 or not lines or usual in lines[0]:
        return best[2] if best[0] >= 0.5 else usual
    return max(DELIMITERS, key=lambda item: (lines[0].count(item), item == usual))
