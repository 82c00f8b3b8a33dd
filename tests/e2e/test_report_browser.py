"""Pages in a real browser: they print on several pages, never overflow sideways, and stay inert."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from kinprint.report import render, render_lineage
from page_checks import Reader
from report_samples import evidence, hostile, lineage

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next((found for name in NAMES if (found := shutil.which(name))), None)
_OPTIONS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync --disable-dev-shm-usage"""
OPTIONS = _OPTIONS.split()
WRAPPER = """<!DOCTYPE html><title>widths</title><pre id="found"></pre><script>
addEventListener("message", event => { document.getElementById("found").textContent += event.data + "\\n"; });
</script>%s"""
MEASURE = """<script>addEventListener("load", () => {
  const root = document.documentElement, wide = [];
  for (const each of document.querySelectorAll("body *")) {
    const right = each.getBoundingClientRect().right;
    if (right > root.clientWidth + 1 && !each.closest(".scroll, .frame")) wide.push(each.tagName);
  }
  parent.postMessage(JSON.stringify([root.clientWidth, root.scrollWidth, wide.slice(0, 9)]), "*");
});</script></body>"""

WANTED = "no Chromium here: apt-get install chromium, or brew install --cask chromium"
# CI has a browser (see .ci/run): a page that nobody looked at must not pass there.
pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None and not os.environ.get("CI"), reason=WANTED)]


def _browse(profile: Path, *arguments: str) -> str:
    assert BROWSER is not None, WANTED
    run = subprocess.run(
        [BROWSER, *OPTIONS, f"--user-data-dir={profile}", *arguments], capture_output=True, timeout=120, check=True
    )
    return run.stdout.decode("utf-8")


PAGES = {
    "evidence": lambda: render(evidence(150)),
    "hostile": lambda: render(hostile()),
    "empty": lambda: render({}),
    "lineage": lambda: render_lineage(lineage(150, missing=0.1)),
}


@pytest.fixture(scope="module", params=sorted(PAGES))
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / f"{request.param}.html"
    path.write_bytes(PAGES[request.param]())
    return path


def test_it_prints_on_several_pages(page: Path, tmp_path: Path) -> None:
    printed = tmp_path / "page.pdf"
    _browse(tmp_path / "profile", "--no-pdf-header-footer", f"--print-to-pdf={printed}", page.as_uri())
    pages = len(re.findall(rb"/Type\s*/Page[^s]", printed.read_bytes()))
    assert 1 < pages < 60


def test_it_never_overflows_sideways(page: Path, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8")
    bare = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    (tmp_path / "copy.html").write_text(bare.replace("</body>", MEASURE), encoding="utf-8")
    frames = "".join(f'<iframe src="copy.html" width="{width}" height="900"></iframe>' for width in (1280, 400))
    (tmp_path / "wrapper.html").write_text(WRAPPER % frames, encoding="utf-8")
    shown = _browse(
        tmp_path / "profile", "--virtual-time-budget=5000", "--dump-dom", (tmp_path / "wrapper.html").as_uri()
    )
    found = re.search(r'<pre id="found">(.*?)</pre>', shown, re.DOTALL)
    assert found is not None
    widths = [json.loads(line) for line in found[1].replace("&quot;", '"').split("\n") if line]
    assert len(widths) == 2
    for client, scroll, wide in widths:
        assert scroll <= client, wide
        assert wide == []


def test_a_browser_reads_no_more_into_it_than_we_wrote(page: Path, tmp_path: Path) -> None:
    shown = _browse(tmp_path / "profile", "--dump-dom", page.as_uri())
    ours, theirs = Reader(page.read_text(encoding="utf-8")), Reader(shown)
    assert theirs.tags == ours.tags
    assert not theirs.problems
