"""The Jinja environment: everything escaped, everything cleaned, nothing that depends on the time or the machine."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from jinja2 import ChainableUndefined, Environment, PackageLoader, Undefined
from kinprint.report import numbers
from kinprint.report.excerpts import PROMPT, middle_out, start_of
from kinprint.report.sanitise import shortened
from markupsafe import Markup


def css_string(text: str, limit: int = 70) -> Markup:
    """A CSS string in quotes that nothing can break out of: all but Latin letters and digits as escapes."""
    safe = re.sub(r"[^A-Za-z0-9]", lambda match: f"\\{ord(match[0]):06x}", shortened(text, limit))
    return Markup(f'"{safe}"')


NAME = 600
SENTENCE = 3_000
"""Longest name and longest sentence that a page shows whole, in code points."""


def isolated(text: object) -> Markup:
    """A name or stretch of text in whatever direction it has, which does not change that of its surroundings."""
    if text is None or isinstance(text, Undefined):
        return Markup("unnamed")
    return Markup('<bdi dir="auto">{}</bdi>').format(middle_out(str(text), NAME))


def _prose(text: object, *names: str) -> Markup:
    """A sentence of ours in which names of models, which are not ours, are isolated."""
    known = sorted((name for name in set(names) if name), key=len, reverse=True)
    sentence = middle_out(str(text), SENTENCE)
    if not known:
        return Markup("{}").format(sentence)
    pieces = re.split("(" + "|".join(map(re.escape, known)) + ")", sentence)
    return Markup("").join(isolated(piece) if piece in known else piece for piece in pieces)


@cache
def environment() -> Environment:
    """The environment of all templates."""
    made = Environment(
        loader=PackageLoader("kinprint.report"),
        autoescape=True,
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters.update(
        {
            "decimal": numbers.decimal,
            "whole": numbers.whole,
            "percent": numbers.percent,
            "rate": numbers.rate,
            "times": numbers.times,
            "p": numbers.p_value,
            "name": isolated,
            "prose": _prose,
            "css_string": css_string,
            "start": lambda text, limit=PROMPT: start_of(str(text), limit),
            "middle_out": middle_out,
        }
    )
    return made


def page(template: str, **values: Any) -> bytes:
    """One page as UTF-8."""
    return environment().get_template(template).render(**values).encode("utf-8")
