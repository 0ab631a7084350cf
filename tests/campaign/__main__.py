"""python -m campaign states [--states N] [--seed S] [--jobs J] · replay SEED · kills [--kills N] · injected [--every N]
hostile [--files N] · judge FILE · rot [--flips N] · isolation [--seconds N] · soak --minutes N
allocations [--every N] · calls [--every N] · cuts [--cuts N]

Run with `tests` on the path, as `make campaign` does. Ends with status 1 if anything did not hold; `replay` runs the
same histories and images again in this process, so that a debugger can look.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from campaign import cuts, fault_library, faults, hostile, isolation, rot
from campaign.injected import LIVES, available, injections, prepare, run_injection
from campaign.kills import kill_again_and_again
from campaign.soak import soak
from campaign.states import Outcome, campaign, run_seed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m campaign", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    states = commands.add_parser("states", help="simulated power cuts")
    states.add_argument(
        "--states", type=int, default=200_000, help="how many crash states (default: 200,000)"
    )
    states.add_argument(
        "--seed", type=int, default=None, help="the first seed (default: by the clock)"
    )
    states.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    replay = commands.add_parser("replay", help="one seed again")
    replay.add_argument("seed", type=int)
    kills = commands.add_parser("kills", help="a writer is killed at any moment")
    kills.add_argument("--kills", type=int, default=3000)
    kills.add_argument("--seed", type=int, default=None)
    injected = commands.add_parser(
        "injected", help="the n-th system call kills the writer, or fails (needs strace)"
    )
    injected.add_argument("--every", type=int, default=1, help="only every n-th of them")
    add_hostile(commands)
    watched = commands.add_parser("isolation", help="readers beside writers that are killed")
    watched.add_argument("--seconds", type=float, default=60)
    watched.add_argument("--seed", type=int, default=None)
    mixed = commands.add_parser("soak", help="all campaigns in turn")
    mixed.add_argument("--minutes", type=float, required=True)
    mixed.add_argument("--seed", type=int, default=None)
    add_faults(commands)
    arguments = parser.parse_args()
    if arguments.command == "isolation":
        return run_isolation(arguments)
    if arguments.command == "soak":
        return soak(
            arguments.minutes, int(time.time()) if arguments.seed is None else arguments.seed
        )
    if arguments.command == "hostile":
        return run_hostile(arguments)
    if arguments.command == "judge":
        return run_judge(arguments.file, arguments.slack)
    if arguments.command == "rot":
        return run_rot(arguments)
    if arguments.command in ("allocations", "calls"):
        return run_faults(arguments)
    if arguments.command == "cuts":
        return run_cuts(arguments)
    if arguments.command == "kills":
        return run_kills(
            int(time.time()) if arguments.seed is None else arguments.seed, arguments.kills
        )
    if arguments.command == "injected":
        return run_injected(arguments.every)
    if arguments.command == "replay":
        outcome = run_seed(arguments.seed)
        print(outcome)
        return 0 if outcome.failure is None else 1
    seed = int(time.time()) if arguments.seed is None else arguments.seed
    return run_states(seed, arguments.states, arguments.jobs)


def add_hostile(commands: Any) -> None:
    """The commands about files that no writer made."""
    several = argparse.ArgumentParser(add_help=False)
    several.add_argument("--seed", type=int, default=None)
    several.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    slack = argparse.ArgumentParser(add_help=False)
    slack.add_argument(
        "--slack",
        type=float,
        default=1.0,
        help="how much slower and larger a build with sanitizers is",
    )
    files = commands.add_parser(
        "hostile", parents=[several, slack], help="fields with other values under right checksums"
    )
    files.add_argument("--files", type=int, default=50_000)
    files.add_argument(
        "--keep", type=Path, default=Path("build/hostile"), help="folder of findings"
    )
    judge = commands.add_parser("judge", parents=[slack], help="one hostile file again")
    judge.add_argument("file", type=Path)
    flips = commands.add_parser("rot", parents=[several], help="any byte is another one")
    flips.add_argument("--flips", type=int, default=None, help="default: one of every byte")


def add_faults(commands: Any) -> None:
    """The commands that make something fail under the engine, or the file system end."""
    for name, what in (("allocations", "allocation"), ("calls", "system call")):
        each = commands.add_parser(name, help=f"the n-th {what} of an operation fails")
        each.add_argument("--every", type=int, default=1, help="only every n-th of them")
        each.add_argument("--only", default="", help="only faults whose name has this in it")
        each.add_argument("--seed", type=int, default=None)
        each.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    real = commands.add_parser("cuts", help="power cuts of ext4 and XFS on a loop device")
    real.add_argument("--cuts", type=int, default=1500, help="in all (default: 1,500)")
    real.add_argument("--seed", type=int, default=None)


def run_faults(arguments: argparse.Namespace) -> int:
    reason = fault_library.unavailable()
    if reason:
        print(f"skipped: {reason}")
        return 0
    seed = int(time.time()) if arguments.seed is None else arguments.seed
    began = time.monotonic()
    plan = faults.allocations() if arguments.command == "allocations" else faults.calls()
    plan = [fault for fault in plan if arguments.only in str(fault)]
    found = []
    for each in faults.sampled(plan, seed, arguments.every, arguments.jobs):
        found.append(each)
        for failure in each.failures:
            print(f"FAILED: {failure}", flush=True)
    print(faults.summary(found, seed, began))
    return 1 if any(each.failures for each in found) else 0


def run_cuts(arguments: argparse.Namespace) -> int:
    seed = int(time.time()) if arguments.seed is None else arguments.seed
    failed = 0
    logging.getLogger("cowtree").setLevel(logging.CRITICAL)  # each cut is told of
    for found in cuts.campaign(seed, arguments.cuts):
        if isinstance(found, str):
            print(found, flush=True)
            continue
        print(
            f"{found.kind}: {found.cuts:,} power cuts from seed {seed}, {found.commits:,} commits, "
            f"{found.lost:,} unsynced ones lost, {60 * found.cuts / found.seconds:,.0f} cuts a minute",
            flush=True,
        )
        if found.failure:
            failed += 1
            print(f"FAILED: {found.failure}", flush=True)
    return 1 if failed else 0


def run_hostile(arguments: argparse.Namespace) -> int:
    seed = int(time.time()) if arguments.seed is None else arguments.seed
    print(f"hostile files: seeds from {seed}, {arguments.files:,} files", flush=True)
    began = time.monotonic()
    verdicts = []
    for verdict in hostile.campaign(
        seed, arguments.files, arguments.jobs, arguments.slack, arguments.keep
    ):
        verdicts.append(verdict)
        if verdict.problem:
            kept = arguments.keep / hostile.file_name(verdict.seed)
            print(
                f"FAILED: {verdict.problem}\n  again: python -m campaign judge {kept}", flush=True
            )
    print(hostile.summary(verdicts, time.monotonic() - began))
    return 1 if any(verdict.problem for verdict in verdicts) else 0


def run_judge(file: Path, slack: float) -> int:
    with hostile.Judge(slack) as judge:
        verdict = judge.judge(hostile.read_file(file))
    print(verdict.problem or verdict)
    return 1 if verdict.problem else 0


def run_rot(arguments: argparse.Namespace) -> int:
    seed = int(time.time()) if arguments.seed is None else arguments.seed
    print(f"bit rot: seed {seed}", flush=True)
    began = time.monotonic()
    flips = reported = failed = 0
    for share in rot.campaign(seed, arguments.flips, arguments.jobs):
        for rotten in share:
            flips += 1
            reported += rotten.reported
            if rotten.problem:
                failed += 1
                print(f"FAILED: {rotten}", flush=True)
    print(
        f"{flips:,} bytes flipped, {reported:,} reported, none of the others mattered; "
        f"{time.monotonic() - began:.0f} s; {failed} failed"
    )
    return 1 if failed else 0


def run_states(seed: int, states: int, jobs: int) -> int:
    print(f"simulated power cuts: seeds from {seed}, {states:,} states, {jobs} jobs", flush=True)
    outcomes: list[Outcome] = []
    seconds, told = 0.0, 0.0
    for outcome, seconds in campaign(seed, states, jobs):
        outcomes.append(outcome)
        if outcome.failure is not None:
            print(
                f"FAILED: {outcome.failure}\n  again: python -m campaign replay {outcome.seed}",
                flush=True,
            )
        if seconds - told > 30:
            told = seconds
            print(f"  {sum(o.states for o in outcomes):,} states, {seconds:.0f} s", flush=True)
    total = sum(outcome.states for outcome in outcomes)
    failed = sum(outcome.failure is not None for outcome in outcomes)
    print(
        f"{total:,} crash states of {sum(o.cuts for o in outcomes):,} cuts in {sum(o.histories for o in outcomes):,} "
        f"histories ({sum(o.again for o in outcomes):,} began with a crash), {total / max(seconds, 1e-9):,.0f} a "
        f"second; {failed} failed"
    )
    return 1 if failed else 0


def run_isolation(arguments: argparse.Namespace) -> int:
    seed = int(time.time()) if arguments.seed is None else arguments.seed
    print(f"isolation: seed {seed}, {arguments.seconds:.0f} s", flush=True)
    with tempfile.TemporaryDirectory(prefix="cowtree-isolation-") as folder:
        found = isolation.run(folder, seed, arguments.seconds)
    print(
        f"{found.commits:,} commits, {found.kills} kills, {found.generations} compactions seen, "
        f"{found.snapshots:,} snapshots compared; {'FAILED: ' + found.failure if found.failure else '0 failed'}"
    )
    return 1 if found.failure else 0


def run_kills(seed: int, kills: int) -> int:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cowtree-kills-") as folder:
        found = kill_again_and_again(os.path.join(folder, "killed.cow"), seed, kills)
    seconds = time.monotonic() - began
    print(
        f"{found.kills:,} kills from seed {seed}, {found.commits:,} commits, {found.kills / seconds:.0f} kills a second"
    )
    if found.failure:
        print(f"FAILED: {found.failure}")
    return 1 if found.failure else 0


def run_injected(every: int) -> int:
    reason = available()
    if reason:
        print(f"left out: {reason}")
        return 0
    done = failed = 0
    with tempfile.TemporaryDirectory(prefix="cowtree-injected-") as folder:
        path = os.path.join(folder, "injected.cow")
        for life in LIVES:
            for start in (
                0,
                4,
            ):  # a life that creates the file, and one that finds it after a crash
                prepare(path, start)
                plan = list(injections(path, start, 3, life))
                for injection in plan[::every]:
                    prepare(path, start)
                    try:
                        run_injection(injection, path, start, 3)
                    except Exception as error:
                        failed += 1
                        print(
                            f"FAILED: {injection}, from commit {start}: {type(error).__name__}: {error}",
                            flush=True,
                        )
                    done += 1
    print(f"{done:,} injected faults, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
