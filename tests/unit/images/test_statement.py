"""What SQL of the image `bigquery` takes from the stage's environment: parameters, names of tables, inputs."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

FILE = Path(__file__).parents[3] / "images" / "bigquery" / "statement.py"
ENVIRONMENT = {"DAY": "2026-03-01", "TABLE": "acme.raw.events_20260301", "KHAN_INPUT_by_region": "/khan/in/by-region"}


@pytest.fixture(scope="module")
def module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("statement", FILE)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.mark.parametrize(
    ("text", "parameters", "sql"),
    [
        ("SELECT 1", {}, "SELECT 1"),
        ("SELECT @DAY, @DAY", {"DAY": "2026-03-01"}, "SELECT @DAY, @DAY"),
        ("SELECT * FROM ${TABLE}", {}, "SELECT * FROM acme.raw.events_20260301"),
        ("SELECT * FROM `${TABLE}`", {}, "SELECT * FROM `acme.raw.events_20260301`"),
        ("SELECT @@error.message", {}, "SELECT @@error.message"),
        ("'a@DAY ${no}' -- @no\n# ${no}\n/* @no\n${no} */", {}, "'a@DAY ${no}' -- @no\n# ${no}\n/* @no\n${no} */"),
        ("SELECT 'it\\'s @no', \"@no\"", {}, "SELECT 'it\\'s @no', \"@no\""),
        ("SELECT '''it's @no''', r'\\d@no'", {}, "SELECT '''it's @no''', r'\\d@no'"),
        ('SELECT """a "b" @no""" || @DAY', {"DAY": "2026-03-01"}, 'SELECT """a "b" @no""" || @DAY'),
        ("SELECT me@DAY", {}, "SELECT me@DAY"),
    ],
)  # fmt: skip
def test_what_stands_for_something(module: ModuleType, text: str, parameters: dict[str, str], sql: str) -> None:
    statement = module.Statement(text, ENVIRONMENT)
    assert statement.parameters == parameters
    assert statement.inputs == {}
    assert statement.sql({}) == sql


def test_an_input_is_the_table_that_it_was_loaded_into(module: ModuleType) -> None:
    statement = module.Statement("SELECT * FROM ${input.by-region} JOIN ${input.by-region}", ENVIRONMENT)
    assert statement.inputs == {"by-region": Path("/khan/in/by-region")}
    assert statement.sql({"by-region": "acme.tmp.x"}) == "SELECT * FROM `acme.tmp.x` JOIN `acme.tmp.x`"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("SELECT @NOWHERE", "there is no environment variable NOWHERE"),
        ("SELECT * FROM ${NOWHERE}", "there is no environment variable NOWHERE"),
        ("SELECT * FROM ${}", "there is no environment variable "),
        ("SELECT * FROM ${input.clean}", "the stage has no input 'clean'"),
        ("SELECT * FROM ${EVIL}", "no name of a table; for a value write @EVIL"),
    ],
)
def test_what_stands_for_nothing_is_refused_before_anything_is_asked(module: ModuleType, text: str, words: str) -> None:
    with pytest.raises(module.Refused, match=re.escape(words)):
        module.Statement(text, {**ENVIRONMENT, "EVIL": "x; DROP TABLE y"})
