"""Makes the state of a data folder that of a snapshot. What was there before is put aside, never deleted."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

from backend.config import default_data
from backend.daemon import locked
from backend.layout import Layout
from backend.store.embedded import RESTORED, held
from backend.store.server_binary import OURS, provide_restorer
from backend.store.snapshot import EMBEDDED, Member, restore, verify


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `restore` takes."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a backup")
    parser.add_argument("--data", type=Path, default=default_data(), help="the data folder (%(default)s)")


def main(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    """Restore it, and say where the old state is. Raises KhanError."""
    digest = verify(given.file)
    data = given.data.expanduser().absolute()
    with locked(data):
        layout = Layout(data)
        layout.etcd.mkdir(parents=True, exist_ok=True, mode=0o700)
        with held(layout.etcd):
            before = restore_into(layout.etcd, given.file, EMBEDDED)
    print(f"restored {data} from {given.file}, sha256 {digest}")
    if before is not None:
        print(f"what was there before is in {before}")


def restore_into(folder: Path, snapshot: Path, member: Member) -> Path | None:
    """Make `folder`/data that of a snapshot: where the data that were there are now, if any. Raises StoreError."""
    configured = os.environ.get("KHANTUI_ETCD")
    restorer = provide_restorer(_progress, Path(configured) if configured else None)
    new, data = folder / RESTORED, folder / "data"
    shutil.rmtree(new, ignore_errors=True)
    restore(restorer, snapshot, new, member)
    before = None
    if data.exists():
        before = folder / f"data.before-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        data.rename(before)
    new.rename(data)
    (folder / "fresh").unlink(missing_ok=True)
    (folder / "etcd.version").write_text(OURS)
    return before


def _progress(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
