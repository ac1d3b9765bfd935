"""Images: what is said of them, and that those which are registered are as good as those that come along."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backend import __version__
from tests.contract.service import Service

DBT = {
    "container": "ghcr.io/example/dbt:1.9",
    "interpreter": ["bash", "-eu"],
    "suffix": ".sh",
    "tools": ["dbt"],
    "holds": {"dbt": "1.9"},
    "description": "dbt with our profiles",
}


async def lint(api: Service, image: str) -> list[str]:
    text = json.dumps({"name": "p", "stages": {"s": {"image": image, "script": "true"}}})
    found = (await api.ask("POST", "/lint", {"document": text})).json()["findings"]
    return [finding["code"] for finding in found]


async def test_an_image_says_what_it_holds_and_what_runs_it(api: Service) -> None:
    python = (await api.ask("GET", "/images/python")).json()
    assert python["container"] == f"ghcr.io/khantui/khantui-python:{__version__}"
    assert (python["interpreter"], python["suffix"]) == (["python3", "-u"], ".py")
    assert python["executors"] == ["sandbox", "kubernetes"]
    assert "pandas" in python["holds"]
    assert (python["registered"], python["available"]) == (None, True)
    bigquery = (await api.ask("GET", "/images/bigquery")).json()
    assert (bigquery["available"], bigquery["reason"]) == (False, "this machine has no bqrun")


async def test_a_registered_image_is_known_from_then_on(api: Service) -> None:
    assert await lint(api, "dbt") == ["unknown-image"]
    made = (await api.ask("PUT", "/images/dbt", DBT)).json()
    assert {key: made[key] for key in DBT} == DBT
    assert await lint(api, "dbt") == []
    names = [image["name"] for image in (await api.ask("GET", "/images")).json()["items"]]
    assert (names[0], names[-1]) == ("shell", "dbt")
    await api.ask("DELETE", "/images/dbt", status=204)
    assert await lint(api, "dbt") == ["unknown-image"]


async def test_a_name_that_comes_along_can_stand_for_another_and_back(api: Service) -> None:
    await api.ask("PUT", "/images/python", {**DBT, "container": "registry.example:5000/python:3.13"})
    stands = (await api.ask("GET", "/images/python")).json()
    assert (stands["container"], stands["holds"]) == ("registry.example:5000/python:3.13", {"dbt": "1.9"})
    await api.ask("DELETE", "/images/python", status=204)
    assert "pandas" in (await api.ask("GET", "/images/python")).json()["holds"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"container": "no image at all"}, "no container image"),
        ({"container": "python"}, "write it with its registry"),
        ({"container": "", "tools": []}, "nothing runs it"),
        ({"interpreter": []}, "no interpreter"),
        ({"interpreter": [""]}, "no interpreter"),
        ({"interpreter": ["a\0b"]}, "NUL"),
        ({"suffix": "../x"}, "no ending of a file's name"),
        ({"tools": ["/etc/passwd"]}, "no program's name"),
        ({"tools": ["--help"]}, "no program's name"),
        ({"description": "two\nlines"}, "longer than a line"),
    ],
)
async def test_what_cannot_be_an_image_is_refused(api: Service, change: dict[str, Any], words: str) -> None:
    refused = await api.ask("PUT", "/images/dbt", {**DBT, **change}, status=400)
    assert words in refused.json()["title"]
    await api.ask("GET", "/images/dbt", status=404)


async def test_what_cannot_be_removed_says_why(api: Service) -> None:
    assert "comes along" in (await api.ask("DELETE", "/images/python", status=400)).text
    assert "no image" in (await api.ask("DELETE", "/images/nowhere", status=404)).text
    await api.ask("PUT", "/images/Not-A-Name", DBT, status=400)
    await api.ask("PUT", "/images/dbt", {**DBT, "imgae": "x"}, status=422)
