"""Change the source in small ways, one at a time, and tell which changes no test notices.

Cosmic Ray makes the mutants (another operator, another number, an exception that nothing raises, a decorator taken
away) and runs tests on each; this says which tests concern which file, draws a sample, and counts.  All of it happens
in a copy of the working tree: nothing in the tree itself is ever changed.

    python tools/mutants.py --sample 200 --seed 0 [--only server/kinprint/server/store] [--json FILE]

A mutant is noticed when a test fails, or runs so long that it had to be ended.  Left out from the start are mutants of
annotations, which nothing evaluates, and of `NoOp`, which are none.  An operator is exchanged for one other, drawn by
the seed, and not for each of the dozen there are: a `path / name` would count for twelve, all noticed at once.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.testing import run_tests
from cosmic_ray.work_db import WorkDB
from cosmic_ray.work_item import MutationSpec, TestOutcome

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("kernels", "server", "clients/python")

_STORE, _EDGE = "server/kinprint/server/store", "server/kinprint/server/edge"
_T = "tests/server"
#: What is mutated, and the tests that concern it, the nearest first: the first failure ends a run.  Without the traces,
#: which need a collector, and a file that is one constant.
TESTS: dict[str, tuple[str, ...]] = {
    f"{_STORE}/columns.py": (f"{_T}/store/test_columns.py",),
    f"{_STORE}/content.py": (f"{_T}/store/test_content.py", f"{_T}/store/test_digests.py"),
    f"{_STORE}/digests.py": (f"{_T}/store/test_digests.py", f"{_T}/store/test_record.py"),
    f"{_STORE}/disk.py": (f"{_T}/store/test_disk.py",),
    f"{_STORE}/durability.py": (f"{_T}/store/test_durability.py", f"{_T}/store/test_record.py"),
    f"{_STORE}/files.py": (f"{_T}/store/test_files.py", f"{_T}/store/test_generation.py"),
    f"{_STORE}/generation.py": (f"{_T}/store/test_generation.py", f"{_T}/corpus/test_index.py"),
    f"{_STORE}/lock.py": (f"{_T}/store/test_lock.py",),
    f"{_STORE}/maintenance.py": (f"{_T}/store/test_maintenance.py",),
    f"{_STORE}/record.py": (f"{_T}/store/test_record.py", f"{_T}/store/test_maintenance.py"),
    f"{_STORE}/reserve.py": (f"{_T}/store/test_reserve.py",),
    f"{_STORE}/segment.py": (f"{_T}/corpus/test_index.py",),
    f"{_STORE}/snapshot.py": (f"{_T}/corpus/test_snapshots.py",),
    f"{_EDGE}/admission.py": (f"{_T}/edge/test_limits.py", "tests/e2e/test_operating.py"),
    f"{_EDGE}/audit.py": (f"{_T}/edge/test_audit.py",),
    f"{_EDGE}/audit_chain.py": (f"{_T}/edge/test_audit_chain.py",),
    f"{_EDGE}/auth.py": ("tests/e2e/test_access.py",),
    f"{_EDGE}/errors.py": (f"{_T}/edge/test_reasons.py", f"{_T}/test_failures.py"),
    f"{_EDGE}/call.py": (f"{_T}/edge/test_audit.py", "tests/e2e/test_operating.py"),
    f"{_EDGE}/caller.py": (f"{_T}/edge/test_audit.py", "tests/e2e/test_operating.py"),
    f"{_EDGE}/guard.py": (f"{_T}/edge/test_guard.py", "tests/e2e/test_access.py"),
    f"{_EDGE}/keys.py": (f"{_T}/edge/test_keys.py",),
    f"{_EDGE}/load.py": (f"{_T}/edge/test_limits.py", "tests/e2e/test_operating.py"),
    f"{_EDGE}/meter.py": (f"{_T}/edge/test_limits.py", "tests/e2e/test_operating.py"),
    f"{_EDGE}/metrics.py": ("tests/e2e/test_operating.py",),
    f"{_EDGE}/operating.py": ("tests/e2e/test_operating.py",),
    f"{_EDGE}/options.py": ("tests/contract/test_bad_input.py",),
    f"{_EDGE}/pages.py": ("tests/contract/test_bad_input.py",),
    f"{_EDGE}/principal.py": (f"{_T}/edge/test_visible.py", f"{_T}/edge/test_keys.py"),
    f"{_EDGE}/private.py": (f"{_T}/edge/test_doors.py",),
    f"{_EDGE}/quotas.py": (f"{_T}/edge/test_limits.py",),
    f"{_EDGE}/roles.py": (f"{_T}/edge/test_guard.py", "tests/e2e/test_access.py",),
    f"{_EDGE}/tls.py": (f"{_T}/edge/test_doors.py", "tests/e2e/test_access.py"),
    f"{_EDGE}/tokens.py": (f"{_T}/edge/test_tokens.py",),
    f"{_EDGE}/visible.py": (f"{_T}/edge/test_visible.py",),
    "server/kinprint/server/statistics.py": (f"{_T}/test_statistics.py",),
    "server/kinprint/server/kinship/calibration.py": (f"{_T}/kinship/test_calibration.py", f"{_T}/kinship/test_fit.py"),
    "clients/python/kinprint/client/upsert.py": ("tests/clients/test_upsert.py",),
}  # fmt: skip
#: Seconds that a run may take, as times of a run without a mutant, and beside it.
_TIMES, _SLACK = 4, 30


@dataclass(frozen=True)
class Outcome:
    """One mutant: where it is, how it was made, and whether a test noticed."""

    file: str
    line: int
    operator: str
    occurrence: int
    noticed: bool
    diff: str


def copied(place: Path) -> None:
    """Copy the tree as it stands, compiled kernels included: what is tracked, new, and in the kernels' caches."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    names = [Path(os.fsdecode(name)) for name in listed.stdout.split(b"\0") if name]
    names += [
        path.relative_to(ROOT) for path in (ROOT / "kernels").rglob("__pycache__/*") if path.suffix in (".nbi", ".nbc")
    ]
    for name in names:
        if (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, place / name)


def annotations(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where annotations begin and end, as (line, column): nothing evaluates them."""
    found: list[tuple[tuple[int, int], tuple[int, int]]] = []
    for node in ast.walk(ast.parse(source)):
        notes: list[ast.expr | None] = []
        if isinstance(node, ast.arg | ast.AnnAssign):
            notes = [node.annotation]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            notes = [node.returns]
        found += [
            ((note.lineno, note.col_offset), (note.end_lineno, note.end_col_offset))
            for note in notes
            if note is not None and note.end_lineno is not None and note.end_col_offset is not None
        ]
    return found


def mutations(files: Sequence[str], place: Path, chance: random.Random | None = None) -> list[MutationSpec]:
    """Mutations of some files, paths relative to the tree: of those that exchange one operator, one by `chance`."""
    places: dict[tuple[str, tuple[int, int], str], list[MutationSpec]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        database = WorkDB(str(Path(scratch) / "session.sqlite"), WorkDB.Mode.create)
        init([Path(name) for name in files], database, {})
        notes = {name: annotations((place / name).read_text(encoding="utf-8")) for name in files}
        for item in database.work_items:
            (spec,) = item.mutations
            outside = not any(begin <= spec.start_pos < end for begin, end in notes[str(spec.module_path)])
            family = spec.operator_name.partition("/")[2].partition("_")[0]
            if outside and family != "NoOp":
                key = (str(spec.module_path), spec.start_pos, family)
                places.setdefault(key, []).append(spec)
        database.close()
    of_each = [sorted(places[key], key=lambda spec: (spec.operator_name, spec.occurrence)) for key in sorted(places)]
    return [
        spec for specs in of_each for spec in (specs if chance is None or _distinct(specs) else [chance.choice(specs)])
    ]


def _distinct(specs: Sequence[MutationSpec]) -> bool:
    """Whether mutations of one place are several of one operator, such as a number one more and one less."""
    return len({spec.operator_name for spec in specs}) == 1


def _key(spec: MutationSpec) -> tuple[str, str, int]:
    return str(spec.module_path), spec.operator_name.partition("/")[2], spec.occurrence


def command(tests: Sequence[str]) -> str:
    """Run some tests in one process until the first failure; generated cases are the same each time."""
    options = "-x -q -n 0 -p no:cacheprovider --hypothesis-seed=0 --no-header"
    return f"{shlex.quote(sys.executable)} -m pytest {options} {' '.join(map(shlex.quote, tests))}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sample", type=int, default=0, help="mutants to draw over all files; 0: all of them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", default=[], help="beginning of the path of files to mutate")
    parser.add_argument("--json", type=Path, help="where to write every outcome")
    parser.add_argument("--missed", type=Path, help="a file of outcomes: try those again that were not noticed there")
    given = parser.parse_args()
    if given.json is not None:
        given.json = given.json.absolute()
    missed = [] if given.missed is None else json.loads(given.missed.read_text(encoding="utf-8"))
    files = sorted(name for name in TESTS if not given.only or name.startswith(tuple(given.only)))
    if not files:
        parser.error("no file that is mutated begins so")

    with tempfile.TemporaryDirectory(prefix="kinprint-mutants-") as scratch:
        place = Path(scratch)
        copied(place)
        os.chdir(place)
        os.environ["PYTHONPATH"] = os.pathsep.join(str(place / folder) for folder in SOURCES)
        for name in [name for name in os.environ if name.startswith("KINPRINT_")]:
            del os.environ[name]
        chance = random.Random(given.seed)
        if given.missed is None:
            drawn = mutations(files, place, chance)
        else:
            again = {(o["file"], o["operator"], o["occurrence"]) for o in missed if not o["noticed"]}
            drawn = [spec for spec in mutations(files, place) if _key(spec) in again]
        total = len(drawn)
        if given.sample and given.sample < total:
            drawn = chance.sample(drawn, given.sample)
        drawn.sort(key=lambda spec: (str(spec.module_path), spec.start_pos, spec.operator_name, spec.occurrence))
        print(f"{len(drawn)} of {total} mutants in {len({spec.module_path for spec in drawn})} files", flush=True)
        outcomes = []
        for outcome in _tried(drawn):
            outcomes.append(outcome)
            if given.json is not None:
                given.json.write_text(json.dumps([asdict(each) for each in outcomes], indent=1), encoding="utf-8")
        _tell(outcomes)
    return 0


def _tried(drawn: Sequence[MutationSpec]) -> Iterator[Outcome]:
    limits: dict[tuple[str, ...], float] = {}
    for spec in drawn:
        name = str(spec.module_path)
        which = TESTS[name]
        if which not in limits:
            begun = time.monotonic()
            outcome, told = run_tests(command(which), 3600)
            if outcome != TestOutcome.SURVIVED:  # what hangs on time may fail on a busy machine
                begun = time.monotonic()
                outcome, told = run_tests(command(which), 3600)
            limits[which] = _TIMES * (time.monotonic() - begun) + _SLACK
            if outcome != TestOutcome.SURVIVED:
                print(f"the tests of {name} fail as it is: it is left out\n{told[-2000:]}", flush=True)
                limits[which] = 0.0
        if not limits[which]:
            continue
        result = mutate_and_test([spec], command(which), limits[which])
        diff = "\n".join(
            line for line in (result.diff or "").splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")
        )
        if result.test_outcome not in (TestOutcome.KILLED, TestOutcome.SURVIVED):
            raise SystemExit(f"a mutant of {name}:{spec.start_pos[0]} could not be tried: {result.output}")
        noticed = result.test_outcome == TestOutcome.KILLED
        operator = spec.operator_name.partition("/")[2]
        print(f"{'noticed' if noticed else 'MISSED '} {name}:{spec.start_pos[0]} {operator}", flush=True)
        yield Outcome(name, spec.start_pos[0], operator, spec.occurrence, noticed, diff)


def _tell(outcomes: Sequence[Outcome]) -> None:
    made, noticed = Counter(o.file for o in outcomes), Counter(o.file for o in outcomes if o.noticed)
    print()
    for name in sorted(made):
        print(f"{noticed[name]:5d} / {made[name]:<5d} {name}")
    print(f"{sum(noticed.values()):5d} / {len(outcomes):<5d} noticed")
    for outcome in outcomes:
        if not outcome.noticed:
            print(f"\n{outcome.file}:{outcome.line} {outcome.operator} {outcome.occurrence}\n{outcome.diff}")


if __name__ == "__main__":
    sys.exit(main())
