"""The command line. A command's code is imported when it is called, so that `khantui --help` is at once there."""

from __future__ import annotations

import sys

from khantui.cli.root import khantui


def main() -> None:
    """What the program `khantui` runs."""
    khantui.main(prog_name="khantui", args=sys.argv[1:])
