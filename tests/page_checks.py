"""What every page must keep to, read with the standard library's parser."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

VOID = {"meta", "br", "hr", "img", "input", "link", "wbr"}
_DOCUMENT = """html head meta title style body header nav main section article footer h1 h2 h3 h4 p ul ol li dl dt dd
div span strong a table caption thead tbody tr th td figure figcaption mark bdi code pre details summary"""
_DRAWING = "svg g defs clippath rect path use text image pattern desc"
ALLOWED = {*_DOCUMENT.split(), *_DRAWING.split()}
"""Tag names, as the parser gives them. SVG's `title` is that of HTML."""


class Reader(HTMLParser):
    """Elements, text and headings of a page; problems as sentences."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.problems: list[str] = []
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.headings: list[int] = []
        self.text: list[str] = []
        self.styles: list[str] = []
        self.tags: dict[str, int] = {}
        self.feed(page)
        self.close()
        self.problems += [f"{tag} is not closed" for tag in self.open]
        self.problems += [f"two elements have id {name}" for name in {n for n in self.ids if self.ids.count(n) > 1}]
        self.problems += [f"nothing has id {name}" for name in set(self.references) - set(self.ids)]
        for before, after in zip([0, *self.headings], self.headings, strict=False):
            if after > before + 1:
                self.problems.append(f"h{after} follows h{before}")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        if tag in ("td", "th", "p", "li", "dd", "text"):
            self.text.append(" ")
        if tag not in ALLOWED:
            self.problems.append(f"element {tag}")
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        for name, value in attrs:
            self._attribute(tag, name, value or "")
        if tag not in VOID:
            self.open.append(tag)

    def _attribute(self, tag: str, name: str, value: str) -> None:
        if name.startswith("on") or name in ("src", "srcset", "action", "formaction", "data", "background", "srcdoc"):
            self.problems.append(f"{tag} {name}={value[:60]}")
        if name == "id":
            self.ids.append(value)
        if name in ("href", "xlink:href"):
            if value.startswith("#"):
                self.references.append(value[1:])
            elif not (tag == "image" and value.startswith("data:image/png;base64,")):
                self.problems.append(f"{tag} {name}={value[:60]}")
        if name in ("aria-labelledby", "aria-describedby"):
            self.references += value.split()
        for target in re.findall(r"url\((.*?)\)", value):
            if target.startswith("#"):
                self.references.append(target[1:])
            else:
                self.problems.append(f"{tag} {name} refers to {target[:60]}")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"{tag} closes something else")

    def handle_data(self, data: str) -> None:
        (self.styles if self.open and self.open[-1] == "style" else self.text).append(data)

    @property
    def words(self) -> str:
        """All text of the page, on one line."""
        return " ".join("".join(self.text).split())


def checked(data: bytes) -> Reader:
    """The page, read; fails on anything that is not allowed in one."""
    page = data.decode("utf-8")
    reader = Reader(page)
    assert not reader.problems, reader.problems[:10]
    assert page.startswith('<!DOCTYPE html>\n<html lang="en"')
    assert reader.tags["style"] == 1
    style = "".join(reader.styles)
    assert not re.search(r"url\(|@import|expression|<", style)
    plots = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(plots) == reader.tags.get("svg", 0) <= reader.tags.get("figcaption", 0)
    for plot in plots:
        root = ElementTree.fromstring(plot)
        named = [child.tag.split("}")[1] for child in root[:2]]
        assert named == ["title", "desc"]
        assert all((child.text or "").strip() for child in root[:2])
        assert root.get("role") == "img"
    return reader
