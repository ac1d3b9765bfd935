"""`khantui lint`, `init` and `schema`: no daemon needed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from khantui.cli.check import packed
from khantui.cli.documents import find
from khantui.cli.init import TEMPLATES
from khantui.cli.root import khantui

RUNNER = CliRunner()
WRONG = """{
  "name": "x",
  "stages": {
    "a": {"image": "pyhton", "run": ["true"]}
  }
}
"""


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    path = tmp_path / "pipeline.json"
    path.write_text(WRONG)
    return path


def test_findings_are_objects_with_exactly_these_fields(wrong: Path) -> None:
    result = RUNNER.invoke(khantui, ["lint", str(wrong), "-o", "json"])
    assert result.exit_code == 1
    (finding,) = json.loads(result.stdout)
    assert list(finding) == ["file", "code", "severity", "path", "line", "column", "message", "suggestion"]
    assert (finding["file"], finding["severity"], finding["path"]) == (str(wrong), "error", "$.stages.a.image")
    assert (finding["line"], finding["column"]) == (4, 20)
    assert "python" in finding["suggestion"]


def test_findings_are_shown_as_by_a_compiler(wrong: Path) -> None:
    result = RUNNER.invoke(khantui, ["lint", str(wrong)])
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"{wrong}:4:20: error: ")
    assert lines[1] == '  4 |     "a": {"image": "pyhton", "run": ["true"]}'
    assert lines[2].index("^") == lines[1].index('"pyhton"')
    assert "python" in lines[3]


def test_names_are_of_the_files_with_errors(wrong: Path) -> None:
    (wrong.parent / "good.json").write_text(WRONG.replace("pyhton", "python"))
    assert RUNNER.invoke(khantui, ["lint", str(wrong.parent), "-o", "name"]).stdout == f"{wrong}\n"


def test_stdin_is_linted() -> None:
    result = RUNNER.invoke(khantui, ["lint", "-", "-o", "json"], input="{")
    assert result.exit_code == 1
    assert json.loads(result.stdout)[0]["file"] == "<stdin>"


@pytest.mark.parametrize("text", ["", "nul\0", "[" * 5000, '{"a": 1,}', "\u2028{", "\t{\t}", '{"name": "\\ud800"}'])
@pytest.mark.parametrize("output", ["table", "json", "jsonl", "name"])
def test_whatever_is_linted_there_are_findings_and_no_accident(text: str, output: str) -> None:
    result = RUNNER.invoke(khantui, ["lint", "-", "-o", output], input=text)
    assert result.exit_code == 1
    assert "unexpected" not in result.stderr


def test_a_missing_code_file_is_found(tmp_path: Path) -> None:
    document = {"name": "x", "code": ["a.py"], "stages": {"s": {"image": "python", "run": ["python3", "a.py"]}}}
    (tmp_path / "pipeline.json").write_text(json.dumps(document))
    findings = json.loads(RUNNER.invoke(khantui, ["lint", str(tmp_path), "-o", "json"]).stdout)
    assert [f["code"] for f in findings] == ["code-missing"]
    (tmp_path / "a.py").touch()
    assert RUNNER.invoke(khantui, ["lint", str(tmp_path)]).exit_code == 0


def test_the_plan_is_drawn(tmp_path: Path) -> None:
    RUNNER.invoke(khantui, ["init", "fan", "--template", "fan-out", "--dir", str(tmp_path / "fan")])
    shown = RUNNER.invoke(khantui, ["lint", str(tmp_path)]).stdout
    assert "5 stages in 2 levels, up to 4 at once" in shown


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_template_lints_clean_and_is_never_written_twice(template: str, tmp_path: Path) -> None:
    args = ["init", "mine", "--template", template, "--dir", str(tmp_path / "new")]
    assert RUNNER.invoke(khantui, args).exit_code == 0
    result = RUNNER.invoke(khantui, ["lint", str(tmp_path / "new"), "-o", "json"])
    assert (result.exit_code, json.loads(result.stdout)) == (0, [])
    assert json.loads((tmp_path / "new" / "pipeline.json").read_text())["name"] == "mine"
    before = {p: p.read_bytes() for p in (tmp_path / "new").iterdir()}
    assert RUNNER.invoke(khantui, args).exit_code == 1
    assert {p: p.read_bytes() for p in (tmp_path / "new").iterdir()} == before


def test_the_same_code_is_the_same_bundle_wherever_it_lies(tmp_path: Path) -> None:
    for place in ("one", "two"):
        RUNNER.invoke(khantui, ["init", "x", "--dir", str(tmp_path / place)])
        junk = tmp_path / place / "__pycache__"
        junk.mkdir()
        (junk / place).touch()
    one, two = (packed(find([str(tmp_path / place)])[0]) for place in ("one", "two"))
    assert one is not None
    assert one == two


def test_the_schema_is_json() -> None:
    assert json.loads(RUNNER.invoke(khantui, ["schema"]).stdout)["$schema"].startswith("https://json-schema.org/")
