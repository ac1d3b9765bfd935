"""`python -m backend.admin COMMAND`: what an administrator does beside the daemon."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from backend.errors import KhanError

# name -> (module below backend.admin, one line of help); each has add_arguments(parser) and main(parser, given)
COMMANDS = {
    "backup": ("backup", "save a snapshot of the state"),
    "restore": ("restore", "make the state that of a snapshot"),
    "doctor": ("doctor", "say what a cluster lacks, as JSON"),
    "certificates": ("certificates", "make or renew the certificates of an installation on Kubernetes"),
    "etcd-member": ("member", "become a member of its etcd, or restore one"),
    "etcd-accounts": ("accounts", "close its etcd to all but its parts"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Do what is asked: the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] not in COMMANDS:
        lines = "\n".join(f"  {name:<14} {text}" for name, (_, text) in COMMANDS.items())
        print(f"usage: python -m backend.admin COMMAND …\n\n{lines}", file=sys.stderr)
        return 2
    module, text = COMMANDS[words[0]]
    command = import_module(f"backend.admin.{module}")
    parser = argparse.ArgumentParser(prog=f"python -m backend.admin {words[0]}", description=text)
    command.add_arguments(parser)
    logging.basicConfig(format="%(message)s", level=os.environ.get("KHANTUI_LOG", "WARNING"))
    try:
        code = command.main(parser, parser.parse_args(words[1:]))
    except KhanError as error:
        print(f"khantui: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"         {error.hint}", file=sys.stderr)
        return 1
    return int(code or 0)


if __name__ == "__main__":
    raise SystemExit(main())
