"""Generate the Python stubs of `proto/` into `clients/python/kinprint/v1/`.

Run by the interpreter of `.venv-proto`, which holds the *oldest* supported grpcio-tools: newer protobuf
runtimes accept older generated code, never the reverse.  `--check` generates into a scratch directory
and fails when the committed stubs differ.

The google.rpc messages are generated beside ours, so that a client needs grpcio and protobuf alone;
`kinprint.v1.google_rpc` prefers an installed googleapis-common-protos, because two copies of one
descriptor in a process must not differ.
"""

from __future__ import annotations

import argparse
import filecmp
import re
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
STUBS = ROOT / "clients" / "python" / "kinprint" / "v1"

PACKAGE_INIT = '"""Generated messages and stubs of the kinprint.v1 contract (see proto/)."""\n'
GOOGLE_RPC_INIT = '''"""google.rpc status messages: of googleapis-common-protos where installed, else our own."""

try:
    from google.rpc import error_details_pb2, status_pb2
except ModuleNotFoundError:
    from kinprint.v1.google_rpc.bundled import error_details_pb2, status_pb2

__all__ = ["error_details_pb2", "status_pb2"]
'''


def _run_protoc(arguments: list[str]) -> None:
    well_known = str(files("grpc_tools").joinpath("_proto"))
    code = protoc.main(["protoc", f"-I{PROTO}", f"-I{PROTO / 'third_party'}", f"-I{well_known}", *arguments])
    if code != 0:
        sys.exit(code)


def generate(destination: Path) -> None:
    """Write every stub under `destination` (the folder of the package kinprint.v1)."""
    with tempfile.TemporaryDirectory() as scratch:
        ours = sorted(str(p.relative_to(PROTO)) for p in (PROTO / "kinprint" / "v1").glob("*.proto"))
        google = ["google/rpc/status.proto", "google/rpc/error_details.proto"]
        _run_protoc([f"--python_out={scratch}", f"--pyi_out={scratch}", *ours, *google])
        _run_protoc([f"--grpc_python_out={scratch}", *[p for p in ours if not p.endswith("types.proto")]])
        bundled = destination / "google_rpc" / "bundled"
        bundled.mkdir(parents=True, exist_ok=True)
        (destination / "__init__.py").write_text(PACKAGE_INIT)
        (destination / "py.typed").touch()
        (destination / "google_rpc" / "__init__.py").write_text(GOOGLE_RPC_INIT)
        (bundled / "__init__.py").write_text('"""Generated copy of the google.rpc messages."""\n')
        for source in sorted(Path(scratch, "kinprint", "v1").iterdir()):
            code = source.read_text()
            code = re.sub(r"^from google\.rpc import (\w+)", r"from kinprint.v1.google_rpc import \1", code, flags=re.M)
            (destination / source.name).write_text(code)
        for source in sorted(Path(scratch, "google", "rpc").iterdir()):
            (bundled / source.name).write_text(source.read_text())


def _differences(comparison: filecmp.dircmp[str], prefix: str = "") -> list[str]:
    found = [prefix + n for n in (*comparison.diff_files, *comparison.left_only, *comparison.right_only)]
    for name, sub in comparison.subdirs.items():
        found += _differences(sub, f"{prefix}{name}/")
    return [n for n in found if "__pycache__" not in n]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="fail when the committed stubs differ")
    if not parser.parse_args().check:
        generate(STUBS)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        stale = _differences(filecmp.dircmp(scratch, STUBS, ignore=["__pycache__"]))
    if stale:
        print(f"stubs differ from proto/: {', '.join(sorted(stale))}; run 'make proto'", file=sys.stderr)
        return 1
    print("stubs are in step with proto/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
