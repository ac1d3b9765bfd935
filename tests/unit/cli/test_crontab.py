"""`khantui import crontab`: files on disk, again and again, without a daemon."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from khantui.cli.root import khantui

TEXT = "# The books\n0 3 * * * backup.sh books\nCRON_TZ=Asia/Tokyo\n@daily report\n"


def crontab(*args: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(khantui, ["import", "crontab", *args], input=stdin)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tab"
    path.write_text(TEXT)
    return path


def outcomes(result: Result) -> dict[str, str]:
    return {p["name"]: p["outcome"] for p in json.loads(result.stdout)["pipelines"]}


def test_documents_and_a_file_of_schedules_are_written(file: Path, tmp_path: Path) -> None:
    result = crontab(str(file), "--dir", str(tmp_path / "out"), "--tz", "Europe/Berlin")
    assert result.exit_code == 0, result.output
    assert f"{tmp_path}/out/backup/pipeline.json  created" in result.stdout
    assert "2 pipelines, 2 schedules" in result.stderr
    assert json.loads((tmp_path / "out/backup/pipeline.json").read_text())["description"] == "The books"
    lint = CliRunner().invoke(khantui, ["lint", str(tmp_path / "out")])
    assert lint.exit_code == 0, lint.output
    script = tmp_path / "out" / "schedules.sh"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "khantui").write_text('#!/bin/sh\nprintf "%s|" "$@"; echo\n')
    (tmp_path / "bin" / "khantui").chmod(0o755)
    found = subprocess.run(
        ["sh", str(script)], env={"PATH": f"{tmp_path}/bin:/usr/bin:/bin"}, capture_output=True, text=True, check=True
    )
    assert found.stdout.splitlines() == [
        "schedule|backup|--name|backup|--cron|0 3 * * *|--tz|Europe/Berlin|",
        "schedule|report|--name|report|--cron|@daily|--tz|Asia/Tokyo|",
    ]


def test_again_nothing_changes_and_what_was_edited_is_kept(file: Path, tmp_path: Path) -> None:
    where = ("--dir", str(tmp_path / "out"), "-o", "json")
    assert outcomes(crontab(str(file), *where)) == {"backup": "created", "report": "created"}
    assert outcomes(crontab(str(file), *where)) == {"backup": "unchanged", "report": "unchanged"}
    path = tmp_path / "out" / "backup" / "pipeline.json"
    edited = json.loads(path.read_text()) | {"owner": "me"}
    path.write_text(json.dumps(edited))
    file.write_text("@hourly backup.sh other\n" + TEXT)
    again = outcomes(crontab(str(file), *where))
    assert again["backup"] == "kept"
    assert again["report"] == "unchanged"
    assert len(again) == 3
    assert json.loads(path.read_text()) == edited
    assert outcomes(crontab(str(file), *where, "--overwrite"))["backup"] == "overwritten"


def test_another_document_is_never_written_over(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "out" / "backup" / "pipeline.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"name": "backup", "labels": null}')
    result = crontab(str(file), "--dir", str(tmp_path / "out"), "--overwrite")
    assert result.exit_code == 1
    assert "is no import of this crontab" in result.stderr
    assert path.read_text() == '{"name": "backup", "labels": null}'


def test_stdin_and_a_line_that_is_not_imported(tmp_path: Path) -> None:
    result = crontab("-", "--dir", str(tmp_path / "out"), "-o", "json", stdin="@daily x\n99 * * * * y\n")
    assert result.exit_code == 1
    assert [(r["line"], r["imported"]) for r in json.loads(result.stdout)["remarks"]] == [(2, False)]
    assert (tmp_path / "out" / "x" / "pipeline.json").exists()


def test_a_dry_run_writes_nothing(file: Path, tmp_path: Path) -> None:
    result = crontab(str(file), "--dir", str(tmp_path / "out"), "--dry-run")
    assert result.exit_code == 0
    assert not (tmp_path / "out").exists()


def test_files_of_cron_d_have_users(tmp_path: Path) -> None:
    (tmp_path / "cron.d").mkdir()
    path = tmp_path / "cron.d" / "x"
    path.write_bytes(b"# caf\xe9\n@daily www-data x\n")
    result = crontab(str(path), "--dry-run", "-o", "json")
    assert [p["name"] for p in json.loads(result.stdout)["pipelines"]] == ["x"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["/does/not/exist"], "cannot be read"),
        (["-", "--tz", "Mars/Base"], "no time zone"),
        (["-", "--apply", "--dry-run"], "cannot both"),
    ],
)
def test_wrong_usage(args: list[str], words: str) -> None:
    result = crontab(*args, stdin="")
    assert result.exit_code == 2
    assert words in result.stderr


def test_names_only(file: Path, tmp_path: Path) -> None:
    assert crontab(str(file), "--dry-run", "-o", "name").stdout == "backup\nreport\n"
