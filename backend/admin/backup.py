"""Saves a snapshot of the state: of an etcd that was named, or of a data folder's own, whether a daemon runs or not."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

from backend import etcd_access
from backend.config import default_data
from backend.errors import StoreError
from backend.etcd_access import EtcdAccess
from backend.layout import Layout
from backend.store.embedded import EmbeddedEtcd, FolderInUse
from backend.store.etcd import EtcdStore
from backend.store.server_binary import provide
from backend.store.snapshot import Saved, save

PATTERN = "khantui-*.db"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `backup` takes."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a new file; or a folder, for one named by the time")
    parser.add_argument("--data", type=Path, default=default_data(), help="the data folder (%(default)s)")
    parser.add_argument("--keep", type=int, metavar="N", help="in a folder: delete all backups but the newest N")
    etcd_access.add_arguments(parser)


def main(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    """Save it, and say what was saved. Raises StoreError."""
    access = etcd_access.read(parser, given)
    folder = given.file if given.file.is_dir() else None
    if given.keep is not None and (given.keep < 1 or folder is None):
        parser.error("--keep is the number of backups in a folder, 1 or more")
    target = folder / f"khantui-{stamp()}.db" if folder else given.file
    if target.exists():
        raise StoreError(f"{target} exists already", hint="name another file, or a folder")
    saved = asyncio.run(_save(access, given.data.expanduser().absolute(), target))
    print(f"saved {saved.path}, {saved.size} bytes, sha256 {saved.sha256}")
    if folder and given.keep:
        for old in sorted(folder.glob(PATTERN))[: -given.keep]:
            old.unlink(missing_ok=True)
            print(f"deleted {old}")


def stamp() -> str:
    """The time, as the names of backups have it: they sort by it."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"


async def _save(access: EtcdAccess, data: Path, target: Path) -> Saved:
    async with opened(access, data) as store:
        return await save(store, target)


@contextlib.asynccontextmanager
async def opened(access: EtcdAccess, data: Path) -> AsyncIterator[EtcdStore]:
    """The etcd that was named; or the data folder's own, which is started if no daemon has. Raises StoreError."""
    if access.endpoints:
        store = EtcdStore(access.endpoints, access=access)
        try:
            yield store
        finally:
            await store.close()
        return
    layout = Layout(data)
    if not (layout.etcd / "data").exists():
        raise StoreError(f"there is no state in {data}", hint="name its data folder (--data), or its etcd (--etcd)")
    configured = os.environ.get("KHANTUI_ETCD")
    binary = await asyncio.to_thread(provide, _progress, Path(configured) if configured else None)
    etcd = EmbeddedEtcd(layout.etcd, binary)
    started = True
    try:
        await etcd.start()
        await etcd.ready()
    except FolderInUse:  # by a daemon, whose etcd answers
        started = False
    store = EtcdStore([etcd.target])
    try:
        yield store
    finally:
        await store.close()
        if started:
            await etcd.stop()


def _progress(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
