"""The command line's contract, with the real program and a real daemon."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.program import Program, environment

pytestmark = pytest.mark.slow

Make = Callable[..., str]


def shell(script: str, **more: Any) -> dict[str, Any]:
    return {"image": "shell", "script": script, "timeout": "1m", **more}


def one(name: str, script: str, **more: Any) -> dict[str, Any]:
    """A pipeline of one stage."""
    return {"name": name, "stages": {"only": shell(script)}, **more}


@pytest.fixture(scope="session")
def good(khantui: Program, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A pipeline with code, an intermediate, an output and a parameter."""
    document = {
        "name": "good",
        "description": "counts words",
        "parameters": {"who": {"default": "world"}},
        "environment": {"WHO": "${parameters.who}", "DAY": "${date}"},
        "code": ["words.txt"],
        "intermediates": {"words": {}},
        "outputs": {"count": {}},
        "stages": {
            "read": shell(
                'cat words.txt > "$KHAN_OUTPUT_words"; echo hello $WHO on $DAY; echo second line', outputs=["words"]
            ),
            "count": shell('wc -w < "$KHAN_INPUT_words" > "$KHAN_OUTPUT_count"', inputs=["words"], outputs=["count"]),
        },
    }
    return khantui.apply(tmp_path_factory.mktemp("good"), document, {"words.txt": "one two three\n"})


@pytest.fixture(scope="session")
def good_run(khantui: Program, good: str) -> str:
    """A run of it that has succeeded: its id."""
    result = khantui("run", good, "-p", "who=moon", "--date", "2026-03-01", "--wait", "-o", "name")
    assert result.code == 0, result
    return result.out.strip()


@pytest.fixture(scope="session")
def bad_run(khantui: Program, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run that has failed."""
    document = {
        "name": "bad",
        "intermediates": {"x": {}},
        "stages": {
            "first": shell('echo fine; echo "ERROR: no such table" >&2; exit 3', outputs=["x"]),
            "second": shell("cat $KHAN_INPUT_x", inputs=["x"]),
        },
    }
    name = khantui.apply(tmp_path_factory.mktemp("bad"), document)
    result = khantui("run", name, "--wait", "-o", "name")
    assert result.code == 1, result
    return result.out.strip()


def test_every_template_lints_clean_applies_and_succeeds(khantui: Program, tmp_path: Path) -> None:
    for template in ("python", "shell", "sql", "fan-out"):
        name = f"from-{template}"
        assert khantui("init", name, "--template", template, cwd=tmp_path).code == 0
        assert khantui.json("lint", str(tmp_path / name)) == []
        assert khantui("apply", str(tmp_path / name)).code == 0
        result = khantui("run", name, "--wait", timeout=120)
        assert result.code == 0, result
    again = khantui("init", "from-shell", "--template", "shell", cwd=tmp_path)
    assert again.code == 1
    assert "there already" in again.err


def test_a_run_prints_its_id(khantui: Program, good: str) -> None:
    result = khantui("run", good)
    assert (result.code, len(result.out.strip())) == (0, 17)
    assert khantui("cancel", result.out.strip(), "--wait").code in (0, 1)  # it may have ended by itself


def test_a_run_is_the_apis_object(khantui: Program, good_run: str) -> None:
    run = khantui.json("status", good_run)
    assert {"id", "pipeline", "version", "state", "logical_time", "started", "ended", "stages"} <= run.keys()
    assert (run["state"], run["parameters"]) == ("succeeded", {"who": "moon"})
    assert run["logical_time"].startswith("2026-03-01T00:00:00")
    assert [s["state"] for s in run["stages"]] == ["succeeded"] * 2


def test_a_run_goes_by_its_last_six_characters_and_by_its_pipeline(khantui: Program, bad_run: str) -> None:
    assert khantui.json("status", bad_run[-6:])["id"] == bad_run
    assert khantui.json("status", "bad")["pipeline"] == "bad"


def test_runs_are_filtered(khantui: Program, good_run: str, bad_run: str) -> None:
    failed = khantui.json("runs", "--failed", "--all")
    assert bad_run in [r["id"] for r in failed]
    assert {r["state"] for r in failed} == {"failed"}
    assert all("stages" in r for r in failed)
    assert {r["pipeline"] for r in khantui.json("runs", "good")} == {"good"}
    assert {r["pipeline"] for r in khantui.json("runs", "pipeline~oo", "age<1d")} == {"good"}
    assert khantui.json("runs", "age>1d") == []
    assert len(khantui.json("runs", "--limit", "1")) == 1


def test_a_failed_run_says_why_and_what_to_do(khantui: Program, bad_run: str) -> None:
    shown = khantui("status", bad_run)
    assert shown.code == 0
    for words in ("✖ failed", "exit 3", "ERROR: no such table", f"khantui retry {bad_run[-6:]}", "⊘ skipped"):
        assert words in shown.out, shown.out


def test_waiting_for_a_failing_run_is_exit_1_and_its_result_on_stdout(khantui: Program, bad_run: str) -> None:
    result = khantui("run", "bad", "--wait", "-o", "json")
    assert result.code == 1
    assert json.loads(result.out)["state"] == "failed"
    assert "✖ failed first" in result.err


def test_following_prints_the_logs_with_their_stage(khantui: Program, good: str) -> None:
    result = khantui("run", good, "--follow")
    assert result.code == 0, result
    assert "read  │ hello world on " in result.out
    assert result.out.count("second line") == 1


def test_logs_of_a_stage_are_its_bytes(khantui: Program, good_run: str) -> None:
    assert khantui("logs", good_run, "read").out == "hello moon on 2026-03-01\nsecond line\n"


def test_logs_of_a_run_are_in_one_place(khantui: Program, bad_run: str) -> None:
    assert khantui("logs", bad_run).out == "first  │ fine\nfirst  │ ERROR: no such table\n"


def test_logs_are_searched_cut_and_stamped(khantui: Program, good_run: str, bad_run: str) -> None:
    assert khantui("logs", bad_run, "first", "--grep", "no such .able").out.strip() == "ERROR: no such table"
    assert khantui("logs", bad_run, "first", "--grep", "table", "-C", "1").out.splitlines()[0] == "fine"
    assert khantui("logs", good_run, "read", "--tail", "1").out == "second line\n"
    assert khantui("logs", good_run, "read", "-t").out.startswith("20")
    assert khantui("logs", good_run, "read", "--since", "1d").out.count("\n") == 2
    lines = khantui.json("logs", good_run, "read")
    assert [(line["stage"], line["number"], line["text"]) for line in lines][1] == ("read", 2, "second line")
    assert khantui("logs", good_run, "nowhere").code == 1


def test_artifacts_are_listed_printed_and_fetched(khantui: Program, good_run: str, tmp_path: Path) -> None:
    names = {(a["name"], a["role"]) for a in khantui.json("artifacts", good_run)}
    assert {("words", "intermediate"), ("count", "output")} <= names
    assert khantui("artifacts", good_run, "count").out.strip() == "3"
    target = tmp_path / "fetched" / "count.txt"
    assert khantui("artifacts", good_run, "count", "--to", str(target)).code == 0
    assert target.read_text().strip() == "3"
    again = khantui("artifacts", good_run, "count", "--to", str(target))
    assert (again.code, "there already" in again.err) == (1, True)
    assert khantui("artifacts", good_run, "nothing").code == 1


def test_a_folder_is_fetched_whole(khantui: Program, tmp_path: Path) -> None:
    script = 'mkdir -p "$KHAN_OUTPUT_f/deep"; echo a > "$KHAN_OUTPUT_f/a"; echo b > "$KHAN_OUTPUT_f/deep/b"'
    document = {"name": "folder", "outputs": {"f": {}}, "stages": {"only": shell(script, outputs=["f"])}}
    khantui.apply(tmp_path / "p", document)
    assert khantui("run", "folder", "--wait").code == 0
    assert khantui("artifacts", "folder", "f", "--to", str(tmp_path / "got")).code == 0
    assert (tmp_path / "got" / "deep" / "b").read_text() == "b\n"


def test_a_retry_runs_what_failed_again(khantui: Program, tmp_path: Path) -> None:
    khantui.apply(tmp_path, one("again", "exit 1"))
    run = khantui("run", "again", "--wait", "-o", "name").out.strip()
    result = khantui("retry", run, "--wait", "-o", "json")
    assert result.code == 1
    assert [a["number"] for a in json.loads(result.out)["stages"][0]["attempts"]] == [1, 2]
    khantui.apply(tmp_path, one("again", "true"))
    latest = khantui("retry", run, "--latest", "--wait", "-o", "json")
    assert latest.code == 0, latest
    assert json.loads(latest.out)["version"] == 2


def test_a_running_run_is_cancelled(khantui: Program, tmp_path: Path) -> None:
    khantui.apply(tmp_path, one("long", "echo begun; sleep 300"))
    run = khantui("run", "long").out.strip()
    assert khantui("cancel", run, "--wait").code == 0
    assert khantui.json("status", run)["state"] == "cancelled"


def test_versions_go_back_and_forth(khantui: Program, tmp_path: Path) -> None:
    khantui.apply(tmp_path, one("versions", "echo one"))
    assert "unchanged" in khantui("apply", str(tmp_path)).out
    khantui.apply(tmp_path, one("versions", "echo two"))
    assert [v["version"] for v in khantui.json("history", "versions")] == [2, 1]
    difference = khantui("diff", "versions").out
    assert "echo one" in difference
    assert "echo two" in difference
    assert khantui("rollback", "versions", "1").code == 0
    assert khantui.json("show", "versions")["version"] == 3
    assert "echo one" in khantui("show", "versions", "--document").out
    assert khantui("delete", "versions").code == 2  # nobody to ask
    assert khantui("delete", "versions", "--yes").code == 0
    assert khantui("show", "versions").code == 1


def test_a_dry_run_stores_nothing(khantui: Program, tmp_path: Path) -> None:
    (tmp_path / "pipeline.json").write_text(json.dumps(one("dry", "true")))
    assert "would be created" in khantui("apply", str(tmp_path), "--dry-run").out
    assert khantui("show", "dry").code == 1


def test_nothing_is_applied_where_one_document_has_an_error(khantui: Program, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(one("fine", "true")))
    (tmp_path / "b.json").write_text(json.dumps({"name": "wrong", "stages": {"s": {"image": "pyhton", "run": ["x"]}}}))
    result = khantui("apply", str(tmp_path))
    assert result.code == 1
    assert "python" in result.err
    assert khantui("show", "fine").code == 1
    found = khantui.json("lint", str(tmp_path), code=1)
    assert [(f["severity"], Path(f["file"]).name) for f in found] == [("error", "b.json")]
    assert list(found[0]) == ["file", "code", "severity", "path", "line", "column", "message", "suggestion"]


def test_pipelines_are_applied_in_the_order_that_they_need(khantui: Program, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(
        json.dumps(
            {
                "name": "a-reader",
                "inputs": {"i": {"from": "z-writer/o"}},
                "stages": {"s": shell("cat $KHAN_INPUT_i", inputs=["i"])},
            }
        )
    )
    writer = {
        "name": "z-writer",
        "outputs": {"o": {}},
        "stages": {"s": shell("echo x > $KHAN_OUTPUT_o", outputs=["o"])},
    }
    (tmp_path / "z.json").write_text(json.dumps(writer))
    result = khantui("apply", str(tmp_path), "-o", "name")
    assert (result.code, result.out.split()) == (0, ["z-writer", "a-reader"]), result


def test_schedules(khantui: Program, good: str) -> None:
    made = khantui("schedule", good, "--cron", "0 6 * * MON", "--tz", "Europe/Berlin")
    assert made.code == 0, made
    assert made.out.count("Mon ") == 5
    assert "UTC)" in made.out
    assert khantui("schedule", good, "--at", "2099-01-01T06:00", "-o", "name").out == "good-2\n"
    assert [s["name"] for s in khantui.json("schedules", good)] == ["good", "good-2"]
    assert khantui.json("pause", "good", "--reason", "moving")[0]["paused"] is True
    assert khantui.json("resume", "good")[0]["paused"] is False
    assert len(khantui.json("preview", "good", "-n", "7")) == 7
    for name in ("good", "good-2"):
        assert khantui("schedule", good, "--name", name, "--remove").code == 0
    assert khantui.json("schedules", good) == []
    assert khantui("schedule", good, "--cron", "61 * * * *").code == 2


def test_events_go_on_from_a_revision(khantui: Program, good: str) -> None:
    since = khantui.json("runs", "--limit", "1")[0]["revision"]
    run = khantui("run", good, "--wait", "-o", "name").out.strip()
    result = khantui("events", "--since", str(since), "--kind", "run", "-n", "2")
    events = [json.loads(line) for line in result.out.splitlines()]
    assert run in {e["id"] for e in events}
    assert events[0]["revision"] > since


def test_a_registered_image_is_known_to_lint_and_to_the_sandbox(khantui: Program, tmp_path: Path) -> None:
    document = {"name": "said", "stages": {"only": {"image": "lines", "script": 'BEGIN { print "said by awk" }'}}}
    (tmp_path / "pipeline.json").write_text(json.dumps(document))
    assert khantui("lint", str(tmp_path)).code == 1
    added = khantui("images", "add", "lines", "--tool", "awk", "--interpreter", "awk -f", "-o", "json")
    assert json.loads(added.out)["available"] is True
    assert khantui("lint", str(tmp_path)).code == 0
    assert khantui("apply", str(tmp_path)).code == 0
    assert khantui("run", "said", "--wait").code == 0
    assert "said by awk" in khantui("logs", "said").out
    assert khantui("images", "remove", "lines").code == 0
    assert khantui("lint", str(tmp_path)).code == 1
    assert khantui("run", "said", "--wait").code == 1
    assert "not known here" in khantui("status", "said").out


@pytest.mark.parametrize(
    "args",
    [
        ("pipelines",), ("show", "good"), ("history", "good"), ("runs",), ("status", "good"), ("logs", "good"),
        ("artifacts", "good"), ("schedules",), ("images",), ("daemon", "status"), ("version",), ("schema",),
        ("images", "show", "python"), ("doctor",), ("completion", "bash"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_json_is_json_everywhere(khantui: Program, good_run: str, args: tuple[str, ...]) -> None:
    if args == ("schedules",):
        assert khantui("schedule", "good", "--cron", "0 6 * * *", "--name", "dawn").code == 0
    whole, lines = khantui(*args, "-o", "json"), khantui(*args, "-o", "jsonl")
    value = json.loads(whole.out)
    each = [json.loads(line) for line in lines.out.splitlines()]
    if isinstance(value, list):
        assert len(value) == len(each)
    else:
        assert len(each) == 1
    assert khantui(*args, "-o", "name").out.strip()
    assert "\x1b" not in khantui(*args, "-o", "table").out


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (("good",), True), (("good", "failed"), False), (("pipeline=good state=succeeded",), True),
        (("pipeline~goo", "age<1h", "version=v1", "by=nobody"), False), (("!good",), False),
        (("trigger=manual",), True),
    ],
)  # fmt: skip
def test_runs_are_filtered_by_the_daemon(
    khantui: Program, good_run: str, filters: tuple[str, ...], expected: bool
) -> None:
    assert (good_run in khantui("runs", "--all", *filters, "-o", "name").out.split()) is expected


@pytest.mark.parametrize(
    ("text", "words"),
    [("state=sleeping", "no state 'sleeping'"), ("age=2", "in age=2"), ("colour~red", "no field 'colour'")],
)
def test_a_wrong_filter_is_exit_2_with_words(khantui: Program, text: str, words: str) -> None:
    result = khantui("runs", text)
    assert result.code == 2, result
    assert words in result.err


def test_a_second_daemon_in_the_same_folder_is_refused(khantui: Program) -> None:
    result = khantui("up", "--headless", "--data", str(khantui.data))
    assert result.code == 1
    assert "another daemon" in result.err


def test_bash_completes_names_from_the_daemon(khantui: Program, good: str) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "khantui"],
        env=environment()
        | {
            "KHANTUI_DATA": str(khantui.data),
            "_KHANTUI_COMPLETE": "bash_complete",
            "COMP_WORDS": "khantui run go",
            "COMP_CWORD": "2",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert "plain,good" in found.stdout


def test_whom_a_crontab_mails_has_a_channel(khantui: Program, tmp_path: Path) -> None:
    (tmp_path / "tab").write_text("MAILTO=ops@example.org\n0 3 1 1 * true mailed\n")
    secret = "mailto://user:s3cr3t@127.0.0.1:9?from=cron@example.org"  # nobody listens there
    arguments = ("import", "crontab", "tab", "--dir", "mailed", "--mail-via", secret, "--apply", "-o", "json")
    done = khantui(*arguments, cwd=tmp_path)
    assert done.code == 0, done
    assert "s3cr3t" not in done.out + done.err
    name = "mail-ops-example-org"
    assert json.loads(done.out)["channels"] == [{"name": name, "to": ["ops@example.org"], "applied": "created"}]
    assert name in khantui("channels", "-o", "name").out.split()
    assert khantui("channels", "test", name).code == 1
    again = khantui(*arguments, cwd=tmp_path)
    assert json.loads(again.out)["channels"][0]["applied"] == "kept"


def test_a_crontab_goes_in_runs_and_comes_out_again(khantui: Program, tmp_path: Path) -> None:
    (tmp_path / "tab").write_text(
        "WHO=the moon\n# Greets\n30 6 * * mon-fri cat; echo to $WHO%hello\nCRON_TZ=Asia/Tokyo\n@daily ls /nowhere\n"
    )
    arguments = ("import", "crontab", "tab", "--dir", "jobs", "--tz", "Europe/Berlin", "--apply", "-o", "json")
    for outcome in ("created", "unchanged"):
        found = khantui(*arguments, cwd=tmp_path)
        assert found.code == 0, found
        assert {p["applied"] for p in json.loads(found.out)["pipelines"]} == {outcome}
    run = khantui("run", "cat", "--wait", "-o", "name")
    assert run.code == 0, run
    assert khantui("logs", run.out.strip(), "run").out == "hello\nto the moon\n"
    assert {s["name"]: (s["cron"], s["zone"]) for s in khantui.json("schedules") if s["name"] in ("cat", "ls")} == {
        "cat": (["30 6 * * mon-fri"], "Europe/Berlin"),
        "ls": (["@daily"], "Asia/Tokyo"),
    }
    out = khantui("export", "crontab", "cat", "ls").out
    assert "CRON_TZ=Europe/Berlin\n30 6 * * mon-fri khantui run cat\n" in out
    assert "timeZone: Asia/Tokyo" in khantui("export", "cronjobs", "ls").out
    other = {"name": "taken", "stages": {"only": shell("true")}}
    khantui.apply(tmp_path / "other", other)
    (tmp_path / "tab").write_text("@daily taken\n@daily quite-new\n")
    refused = khantui(*arguments, cwd=tmp_path)
    assert refused.code == 1
    assert "other pipelines have these names already: taken" in refused.err
    assert khantui("show", "quite-new").code == 1
