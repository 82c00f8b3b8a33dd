"""Evidence reports as documents: one HTML file each, for the screen and for paper.

`render` turns the JSON of an evidence report into a page, `render_lineage` that of a family tree. A page needs no
network and no script, holds its plots as inline SVG, and is deterministic: equal input gives equal bytes. Names and
answers of models are hostile text and are shown as such: cleaned once on arrival (`sanitise`), escaped by the template,
and isolated from the direction of the text around them.

    sanitise    text of any kind made safe to show, the whole report at once
    parts       reading a report in which anything may be missing
    numbers     figures as words: "not available", never 0
    verbal      likelihood ratios in words, never beyond the validated range
    excerpts    stretches of text cut to length, the shared part marked
    figure      a matplotlib figure as inline SVG
    plots       distribution, controls, power
    model_plots map, family tree, similarity matrix
    tree        leaves and branches of a tree from its merges
    pages       the Jinja environment
    evidence    an evidence report -> HTML
    lineage     a family tree -> HTML

Needs the extra `report`.
"""

from __future__ import annotations

from kinprint.installed import importing as _importing
from kinprint.installed import version as _version

with _importing("kinprint.report", "report"):
    from kinprint.report.evidence import render
    from kinprint.report.lineage import render_lineage
    from kinprint.report.parts import NotAReport

__version__ = _version()

__all__ = ["NotAReport", "render", "render_lineage"]
