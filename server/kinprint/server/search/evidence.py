"""Evidence: what a person can check behind a score, as the channels give it."""

from __future__ import annotations

from kinprint.server.channels.copy import CopyEvidence
from kinprint.server.channels.semantic import SemanticEvidence, SentenceMatch
from kinprint.server.channels.shared import Span
from kinprint.server.channels.style import StyleEvidence

#: Evidence of any channel.
Evidence = CopyEvidence | SemanticEvidence | StyleEvidence

__all__ = ["CopyEvidence", "Evidence", "SemanticEvidence", "SentenceMatch", "Span", "StyleEvidence"]
