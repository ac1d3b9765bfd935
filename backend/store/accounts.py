"""Who may do what in an etcd: the accounts that Khantui's parts have there, by the names in their certificates."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from backend.errors import StoreError
from backend.store.calls import rpc
from backend.store.etcd import EtcdStore

ROOT = "root"  # etcd's own name for who may do everything


async def secure(store: EtcdStore, accounts: Mapping[str, str]) -> None:
    """Let each account read and write the keys below its prefix, `root` everything, and nobody else anything.

    Accounts are known by the name in their certificate, unless they have a password already. May be done again.
    Raises StoreError.
    """
    for name, prefix in {ROOT: "", **accounts}.items():
        user = rpc.AuthUserAddRequest(name=name, password=secrets.token_urlsafe(32))  # nobody knows it
        await _unless_there(store, "UserAdd", user)
        await _unless_there(store, "RoleAdd", rpc.AuthRoleAddRequest(name=name))
        if prefix:
            key = prefix.encode()
            permission = {"permType": "READWRITE", "key": key, "range_end": key[:-1] + bytes([key[-1] + 1])}
            grant = rpc.AuthRoleGrantPermissionRequest(name=name, perm=permission)
            await store.calls.call("auth", "RoleGrantPermission", grant, writes=True)
        grant_role = rpc.AuthUserGrantRoleRequest(user=name, role=name)
        await store.calls.call("auth", "UserGrantRole", grant_role, writes=True)
    await store.calls.call("auth", "AuthEnable", rpc.AuthEnableRequest(), writes=True)


async def _unless_there(store: EtcdStore, method: str, request: object) -> None:
    try:
        await store.calls.call("auth", method, request, writes=True)
    except StoreError as error:
        if "already exists" not in error.message:
            raise
