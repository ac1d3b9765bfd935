"""Code bundles: the same files are the same bytes."""

from __future__ import annotations

import io
import tarfile

from backend.spec.bundle import address, pack

FILES = {"clean.py": (b"print(1)\n", False), "sql/x.sql": (b"select 1", False), "go.sh": (b"#!/bin/sh\n", True)}


def test_the_order_of_files_is_no_matter() -> None:
    assert pack(FILES) == pack(dict(reversed(FILES.items())))


def test_contents_names_and_modes_count() -> None:
    addresses = {
        address(pack(files))
        for files in (
            FILES,
            {**FILES, "go.sh": (b"#!/bin/sh\n", False)},
            {**FILES, "clean.py": (b"print(2)\n", False)},
            {("a" if n == "clean.py" else n): f for n, f in FILES.items()},
        )
    }
    assert len(addresses) == 4


def test_nothing_of_this_machine_is_in_it() -> None:
    with tarfile.open(fileobj=io.BytesIO(pack(FILES))) as tar:
        assert {(m.uid, m.gid, m.mtime, m.uname, m.gname) for m in tar} == {(0, 0, 0, "", "")}
        assert {m.name: m.mode for m in tar} == {"clean.py": 0o444, "go.sh": 0o555, "sql/x.sql": 0o444}


def test_long_names_and_all_scripts_travel() -> None:
    names = ["é/數據.sql", "/".join(["folder"] * 60) + "/x.py"]
    with tarfile.open(fileobj=io.BytesIO(pack(dict.fromkeys(names, (b"x", False))))) as tar:
        assert sorted(tar.getnames()) == sorted(names)
