"""Hatch's hook for the description of the package: README.md, with links that lead somewhere from a package page.

A link into the source tree leads nowhere there.  Whoever builds for publication says where the tree is, and such links
point to it, as do the project's URLs::

    KINPRINT_SOURCE_URL=https://example.org/kinprint/blob/v1 python -m build

Without it they are plain text.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK = re.compile(r"\[([^\]]+)\]\((?!https?://|#|mailto:)([^)\s]+)\)")


def described(text: str, source: str) -> str:
    """`text` in Markdown with its relative links absolute below the URL `source`, or, where that is empty, as text."""
    if not source:
        return _LINK.sub(r"\1", text)
    return _LINK.sub(lambda found: f"[{found[1]}]({source.rstrip('/')}/{found[2]})", text)


class PackagePage(MetadataHookInterface):
    """Sets the description and the URLs."""

    def update(self, metadata: dict[str, Any]) -> None:
        """As Hatch calls it."""
        source = os.environ.get("KINPRINT_SOURCE_URL", "")
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": described(text, source)}
        root = source.rstrip("/")
        metadata["urls"] = {"Source": root, "Documentation": f"{root}/docs"} if source else {}
        if source:
            metadata["urls"]["Changelog"] = f"{root}/CHANGELOG.md"
