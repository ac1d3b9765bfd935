"""`python -m tests.bench [--only SUITE] [-o json|table] [--repeats N]`."""

from __future__ import annotations

import argparse
import json
from typing import Any

from tests.bench import access, artifacts, engine, grid, history, kubernetes, large, logs, schedules, terminal

SUITES = {
    "engine": engine.measure,
    "large": large.measure,
    "terminal": terminal.measure,
    "grid": grid.measure,
    "logs": logs.measure,
    "artifacts": artifacts.measure,
    "access": access.measure,
    "schedules": schedules.measure,
    "kubernetes": kubernetes.measure,
}


def main() -> None:
    """Measure, print what was measured, and keep it."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("--only", choices=list(SUITES))
    parser.add_argument("-o", "--output", choices=["json", "table"], default="table")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-history", action="store_true", help=f"do not note it in {history.place()}")
    given = parser.parse_args()
    results, before = [], history.last(history.place())
    for name, suite in SUITES.items():
        if given.only in (None, name):
            for result in suite(given.repeats):
                results.append(result)
                if given.output == "table":
                    print(line(result, before.get(result["workload"])), flush=True)
    if not given.no_history:
        history.add(history.place(), results)
    if given.output == "json":
        print(json.dumps(results))


def line(result: dict[str, Any], before: dict[str, Any] | None = None) -> str:
    """A result for people, and what it was the last time."""
    parts = [f"{result['workload']:<28} {result['wall_s']:>8.4f} s"]
    parts += [text.format(**result) for name, text in _PARTS.items() if name in result]
    if result.get("floor_s"):
        parts.append(f"{result['floor_ratio']:.2f} x the floor of {result['floor_s']:.4f} s")
    if "dagu_s" in result:
        parts.append(f"Dagu {result['dagu_s']:.4f} s")
    if before is not None:
        parts.append(f"(before: {before['wall_s']:.4f} s)")
    return "  ".join(parts)


_PARTS = {  # how figures are shown, of those results that have them
    "per_stage_ms": "{per_stage_ms:>7.2f} ms a stage",
    "share_percent": "{per_request_us:.1f} us of the CPU, {share_percent:.2f}% of the request",
    "mib_per_s": "{mib_per_s:>8.1f} MiB/s",
    "resident_mib": "{resident_mib:.1f} MiB resident",
    "core_percent": "{core_percent:.2f}% of a core, its etcd {etcd_percent:.2f}%",
    "own_cpu_ms": "CPU {own_cpu_ms:.2f} ms a stage, its etcd {etcd_cpu_ms:.2f}",
    "proposals_per_stage": "{proposals_per_stage:.2f} transactions a stage",
    "own_ms": "{own_ms:.0f} ms of it our own, {requests_per_stage:.1f} requests",
    "grown_mib": "{grown_mib:.1f} MiB grown",
    "lost": "{lost} lost",
    "worst_s": "worst {worst_s:.4f} s",
}


if __name__ == "__main__":
    main()
