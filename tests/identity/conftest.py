"""One issuer for all tests of a module, with keys of its own for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.issuer_fixture import IssuerServer, Key

KEYS = (Key("k1"), Key("r1", "RS256"))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerServer]:
    server = IssuerServer(Path(tmp_path_factory.mktemp("issuer")))
    yield server
    server.close()


@pytest.fixture
def issuer(served: IssuerServer) -> IssuerServer:
    served.keys = list(KEYS)
    served.more, served.answers, served.asked = [], {}, {}
    return served
