"""python -m campaign states [--states N] [--seed S] [--jobs J] · python -m campaign replay SEED

Run with `tests` on the path, as `make campaign` does. Ends with status 1 if anything did not hold; `replay` runs the
same histories and images again in this process, so that a debugger can look.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

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
    arguments = parser.parse_args()
    if arguments.command == "replay":
        outcome = run_seed(arguments.seed)
        print(outcome)
        return 0 if outcome.failure is None else 1
    seed = int(time.time()) if arguments.seed is None else arguments.seed
    return run_states(seed, arguments.states, arguments.jobs)


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


if __name__ == "__main__":
    sys.exit(main())
