"""A matplotlib figure as inline SVG: deterministic, named for screen readers, safe whatever the labels say.

Labels that come from outside never pass through matplotlib, which would read `$` as mathematics and has no glyphs for
most scripts. `Plot.label` gives it a token to place; the text takes the token's place in the finished SVG, where the
reader's own fonts show it.
"""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from xml.etree import ElementTree

import matplotlib
from kinprint.report.sanitise import shortened
from markupsafe import Markup, escape
from matplotlib import style
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

WIDTH = 6.9
"""Inches: the width of the text on paper, so that letters have the same size in every plot."""

INK = "#1a1a1a"
QUIET = "#5a5f66"
FAINT = "#c9ccd1"
THIS = "#a3201a"
UNRELATED = "#737982"
KIN = "#2a6496"
DERIVED = "#a8580a"

_FONTS = "'Helvetica Neue', Arial, 'Liberation Sans', sans-serif"
_SETTINGS = {
    "svg.fonttype": "none",
    "font.size": 8.5,
    "axes.labelsize": 8.5,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "text.color": INK,
    "hatch.linewidth": 0.5,
    "patch.linewidth": 0.6,
}
_LOCK = threading.Lock()
_TOKEN = re.compile(r"qz(\d{4})zq")
_SVG = "{http://www.w3.org/2000/svg}"
_XLINK = "{http://www.w3.org/1999/xlink}"


def tint(color: str) -> str:
    """A light shade of a colour, opaque, for areas."""
    return "#" + "".join(f"{255 - (255 - int(color[at : at + 2], 16)) // 4:02x}" for at in (1, 3, 5))


class Plot:
    """A figure in the making, with the texts that its tokens stand for."""

    def __init__(self, key: str, height: float) -> None:
        self.key = key
        self.figure = Figure(figsize=(WIDTH, height))
        FigureCanvasSVG(self.figure)
        self._labels: list[str] = []

    def label(self, text: str, limit: int = 34) -> str:
        """A token to place where `text`, cut to `limit` columns, is to stand."""
        self._labels.append(shortened(text, limit))
        return f"qz{len(self._labels) - 1:04d}zq"

    def svg(self, title: str, description: str) -> Markup:
        """The figure as an `svg` element whose accessible name and description are the two texts."""
        target = io.BytesIO()
        matplotlib.rcParams["svg.hashsalt"] = f"kinprint-{self.key}"
        self.figure.savefig(
            target, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
        root = ElementTree.fromstring(target.getvalue())
        return self._inline(root, title, description)

    def _inline(self, root: ElementTree.Element, title: str, description: str) -> Markup:
        _drop(root, f"{_SVG}metadata")
        _drop(root, f"{_SVG}style")
        referred = set(re.findall(r"#([\w.-]+)", ElementTree.tostring(root, encoding="unicode")))
        for element in root.iter():
            element.tag = element.tag.removeprefix(_SVG)
            for name, value in list(element.attrib.items()):
                if name == "id":
                    del element.attrib[name]
                    if value in referred:
                        element.set("id", f"{self.key}-{value}")
                    continue
                renamed = value.replace("url(#", f"url(#{self.key}-")
                if name == f"{_XLINK}href":
                    del element.attrib[name]
                    name, renamed = "href", f"#{self.key}-{value[1:]}" if value.startswith("#") else value
                if name == "style":
                    renamed = re.sub(r"font-family: [^;]*", f"font-family: {_FONTS}", renamed)
                element.set(name, renamed)
            if element.text and (token := _TOKEN.search(element.text)):
                element.text = element.text.replace(token[0], self._labels[int(token[1])])
        view = root.get("viewBox", "")
        body = "".join(ElementTree.tostring(child, encoding="unicode") for child in root)
        # An SVG element in HTML must not close what surrounds it; ElementTree escapes every text and attribute.
        return Markup(
            '<svg xmlns="http://www.w3.org/2000/svg" class="plot {key}" viewBox="{}" role="img"'
            ' aria-labelledby="{key}-title {key}-description"><title id="{key}-title">{}</title>'
            '<desc id="{key}-description">{}</desc>{}</svg>'
        ).format(view, escape(title), escape(description), Markup(body), key=self.key)


@contextmanager
def plotting() -> Iterator[None]:
    """Matplotlib's own defaults and ours, whatever the caller or a matplotlibrc has set; one thread at a time."""
    with _LOCK, style.context(["default", _SETTINGS], after_reset=True):
        yield


def _drop(root: ElementTree.Element, tag: str) -> None:
    for parent in root.iter():
        for child in [child for child in parent if child.tag == tag]:
            parent.remove(child)
