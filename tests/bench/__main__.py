"""`python -m tests.bench [--only engine] [-o json|table] [--repeats N]`."""

from __future__ import annotations

import argparse
import json

from tests.bench import engine

SUITES = {"engine": engine.measure}


def main() -> None:
    """Measure, and print what was measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("--only", choices=list(SUITES))
    parser.add_argument("-o", "--output", choices=["json", "table"], default="table")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    results = []
    for name, suite in SUITES.items():
        if given.only in (None, name):
            for result in suite(given.repeats):
                results.append(result)
                if given.output == "table":
                    print(
                        f"{result['workload']:<10} {result['wall_s']:>8.3f} s {result['per_stage_ms']:>8.2f} ms a stage"
                        f"   {result['floor_ratio']:>5.2f} x the floor of {result['floor_s']:.3f} s",
                        flush=True,
                    )
    if given.output == "json":
        print(json.dumps(results))


if __name__ == "__main__":
    main()
