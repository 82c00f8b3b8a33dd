"""Generate Go and TypeScript from `proto/`, and have their compilers look at what comes out.

The contract is for every language that gRPC has; what only Python is tried with ends up with names that others cannot
have, or with files that they cannot find.  Nothing that is made here is kept: `make proto-foreign` runs this in
`.foreign/`.  TypeScript's generator and compiler come from npm, Go's from the system's packages.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".foreign"
PROTO = ROOT / "proto"
#: Where ours lie among Go's packages; google.rpc's files name their own.
GO_PACKAGE = "kinprint.example/client"
#: Where Debian's packages put Go's sources.
GO_SOURCES = "/usr/share/gocode"
GO_NEEDED = (
    "golang-go protoc-gen-go protoc-gen-go-grpc golang-google-grpc-dev golang-google-protobuf-dev "
    "golang-google-genproto-dev"
)
NODE_PACKAGES = ("@bufbuild/protoc-gen-es@^2.2.0", "@bufbuild/protobuf@^2.2.0", "typescript@^5.6.0")


def run(*command: str | Path, at: Path, **environment: str) -> None:
    """Run a command; what fails ends this."""
    print("+", " ".join(map(str, command)), flush=True)
    subprocess.run([str(part) for part in command], cwd=at, env={**os.environ, **environment}, check=True)


def generate(
    buf: str, at: Path, plugins: list[dict[str, object]], path: Path | None = None, *, ours: bool = False
) -> None:
    """Generate with local plugins, which lie in `path` or on the usual one, from all files or from ours alone."""
    source: dict[str, object] = {"directory": str(PROTO)}
    if ours:
        source["paths"] = [str(PROTO / "kinprint")]
    (at / "buf.gen.json").write_text(json.dumps({"version": "v2", "plugins": plugins, "inputs": [source]}))
    run(buf, "generate", "--template", "buf.gen.json", at=at, PATH=f"{path or ''}{os.pathsep}{os.environ['PATH']}")


def typescript(buf: str) -> None:
    """TypeScript with Connect's generator, strictly checked."""
    at = WORK / "typescript"
    at.mkdir(parents=True, exist_ok=True)
    (at / "package.json").write_text(json.dumps({"private": True, "type": "module"}))
    run("npm", "install", "--silent", "--no-audit", "--no-fund", *NODE_PACKAGES, at=at)
    shutil.rmtree(at / "src", ignore_errors=True)
    plugin = {"local": "protoc-gen-es", "out": "src", "opt": ["target=ts", "import_extension=js"]}
    generate(buf, at, [plugin], at / "node_modules" / ".bin")
    (at / "src" / "main.ts").write_text(
        'import { create, toBinary } from "@bufbuild/protobuf";\n'
        'import { MatchService, SearchRequestSchema } from "./kinprint/v1/match_pb.js";\n'
        "const request = create(SearchRequestSchema, { top: 10 });\n"
        "console.log(MatchService.method.search.name, toBinary(SearchRequestSchema, request).length);\n"
    )
    strict = ["--strict", "--noEmit", "--target", "es2022", "--module", "nodenext", "--skipLibCheck"]
    made = [path.relative_to(at) for path in sorted((at / "src").rglob("*_pb.ts"))]
    run(at / "node_modules" / ".bin" / "tsc", *strict, "src/main.ts", *made, at=at)


def go(buf: str, compiler: str) -> None:
    """Go with the official generators, compiled beside the packages of the system."""
    at = WORK / "go" / "src" / GO_PACKAGE
    shutil.rmtree(at, ignore_errors=True)
    (at / "v1").mkdir(parents=True)
    ours = [
        f"M{path.relative_to(PROTO)}={GO_PACKAGE}/v1" for path in sorted((PROTO / "kinprint" / "v1").glob("*.proto"))
    ]
    names = ("protoc-gen-go", "protoc-gen-go-grpc")
    plugins = [{"local": name, "out": str(WORK / "go" / "src"), "opt": ours} for name in names]
    generate(buf, at, plugins, ours=True)
    (at / "main.go").write_text(
        'package main\n\nimport (\n\t"fmt"\n\n\tv1 "' + GO_PACKAGE + '/v1"\n)\n\n'
        "func main() { fmt.Println(v1.NewMatchServiceClient(nil) != nil, (&v1.SearchRequest{Top: 10}).GetTop()) }\n"
    )
    (at / "buf.gen.json").unlink()
    paths = {"GO111MODULE": "off", "GOPATH": f"{WORK / 'go'}{os.pathsep}{GO_SOURCES}", "GOFLAGS": ""}
    run(compiler, "vet", f"{GO_PACKAGE}/...", at=at, **paths)
    run(compiler, "run", f"{GO_PACKAGE}", at=at, **paths)


def main() -> None:
    """Try the languages that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--buf", default=shutil.which("buf"), help="Buf's program")
    parser.add_argument("--go", default=shutil.which("go"), help="Go's program")
    parser.add_argument("--only", choices=("go", "typescript"))
    arguments = parser.parse_args()
    # It is run from other folders.
    found = shutil.which(arguments.buf or "buf")
    if found is None:
        sys.exit("Buf is needed: make setup brings it")
    arguments.buf = str(Path(found).absolute())
    if arguments.only != "go":
        if shutil.which("npm") is None:
            sys.exit("npm is needed: Node.js has it")
        typescript(arguments.buf)
    if arguments.only != "typescript":
        if arguments.go is None or shutil.which("protoc-gen-go-grpc") is None:
            sys.exit(f"Go and its generators are needed, on Debian: apt-get install {GO_NEEDED}")
        go(arguments.buf, arguments.go)


if __name__ == "__main__":
    main()
