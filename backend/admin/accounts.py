"""Gives the parts of an installation their accounts in etcd, and closes it to everybody else."""

from __future__ import annotations

import argparse
import asyncio

from backend import etcd_access
from backend.store.accounts import secure
from backend.store.etcd import EtcdStore

ACCOUNTS = {"khantui": "/khan/v1/"}  # the name in the daemon's certificate -> its keys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `etcd-accounts` takes."""
    etcd_access.add_arguments(parser)


def main(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    """Make the accounts; may be done again. Raises StoreError."""
    access = etcd_access.read(parser, given)
    if not access.endpoints:
        parser.error("name etcd's endpoints: --etcd, or KHANTUI_ETCD_ENDPOINTS")
    asyncio.run(_main(access))
    print(f"etcd is open to root and {', '.join(ACCOUNTS)}, and to nobody else")


async def _main(access: etcd_access.EtcdAccess) -> None:
    store = EtcdStore(access.endpoints, access=access)
    try:
        await store.reached()
        await secure(store, ACCOUNTS)
    finally:
        await store.close()
