"""Where machine code is kept."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from kinprint.kernels import cache


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Neither the installation nor a home can be written to; where temporary files go."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")  # so that what is set meanwhile is undone
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    monkeypatch.setattr(cache, "_BESIDE", blocked / "__pycache__")
    monkeypatch.setattr("numba.core.config.CACHE_DIR", "")
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


def test_what_is_named_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "named"))
    assert cache.folder() == tmp_path / "named"
    assert cache.temporary() is None


def test_the_installation_goes_before_the_user_s_cache(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(nowhere / "home"))
    assert cache.folder() == nowhere / "home" / "kinprint"
    monkeypatch.setattr(cache, "_BESIDE", nowhere / "beside")
    assert cache.folder() == nowhere / "beside"
    assert "NUMBA_CACHE_DIR" not in os.environ


def test_a_folder_of_our_own_takes_their_place(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from numba.core import config

    found = cache.folder()
    assert found is not None
    assert found == cache.temporary() == nowhere / f"kinprint-{os.getuid()}" / "kernels"
    assert found.stat().st_mode & 0o777 == 0o700
    assert os.environ["NUMBA_CACHE_DIR"] == config.CACHE_DIR == str(found)
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    assert cache.folder() == found  # another process, the same folder


def test_a_folder_that_others_can_write_to_is_not_trusted(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (nowhere / f"kinprint-{os.getuid()}").mkdir()
    (nowhere / f"kinprint-{os.getuid()}").chmod(0o777)
    assert cache.folder() is None
    assert "NUMBA_CACHE_DIR" not in os.environ


def test_without_a_home_nothing_is_raised(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", none)
    assert cache.folder() == cache.temporary()
