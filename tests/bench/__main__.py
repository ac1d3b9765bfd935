"""`python -m tests.bench [--only SUITE] [-o json|table] [--repeats N]`."""

from __future__ import annotations

import argparse
import json
from typing import Any

from tests.bench import artifacts, engine, kubernetes, logs, schedules, terminal

SUITES = {
    "engine": engine.measure,
    "terminal": terminal.measure,
    "logs": logs.measure,
    "artifacts": artifacts.measure,
    "schedules": schedules.measure,
    "kubernetes": kubernetes.measure,
}


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
                    print(line(result), flush=True)
    if given.output == "json":
        print(json.dumps(results))


def line(result: dict[str, Any]) -> str:
    """A result for people."""
    each = f"{result['resident_mib']:>8.1f} MiB resident" if "resident_mib" in result else ""
    each = each or (f"{result['mib_per_s']:>8.1f} MiB/s" if "mib_per_s" in result else "")
    each = each or f"{result['per_stage_ms']:>8.2f} ms a stage"
    if "core_percent" in result:
        each += f"  {result['core_percent']:.2f}% of a core, its etcd {result['etcd_percent']:.2f}%"
    if "own_ms" in result:
        each += f"  {result['own_ms']:.0f} ms of it our own, {result['requests_per_stage']:.1f} requests"
    if "grown_mib" in result:
        each += f"  {result['grown_mib']:.1f} MiB grown"
    if "lost" in result:
        each += f"  {result['lost']} lost, worst {result['worst_s']:.3f} s"
    floor = f"{result['floor_ratio']:>5.2f} x the floor of {result['floor_s']:.4f} s"
    return f"{result['workload']:<20} {result['wall_s']:>8.4f} s {each}   {floor}"


if __name__ == "__main__":
    main()
