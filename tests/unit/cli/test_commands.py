"""The program as a whole: quick to start, every command there and explained, errors in a line or two."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from khantui.cli.command import KhanCommand
from khantui.cli.root import COMMANDS, khantui

ROOT = Path(__file__).parents[3]
RUNNER = CliRunner()


def below(words: tuple[str, ...], command: click.Command) -> list[tuple[tuple[str, ...], click.Command]]:
    """The commands of a group, and of groups in it."""
    found: list[tuple[tuple[str, ...], click.Command]] = []
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            found += [((*words, name), inner), *below((*words, name), inner)]
    return found


def leaves() -> list[tuple[tuple[str, ...], click.Command]]:
    """Every command, with the words that call it."""
    found: list[tuple[tuple[str, ...], click.Command]] = []
    context = click.Context(khantui)
    for name in COMMANDS:
        command = khantui.get_command(context, name)
        assert command is not None
        found.append(((name,), command))
        found += below((name,), command)
    return found


LEAVES = leaves()


def program(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from khantui.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, env=os.environ | environment, check=False
    )


@pytest.mark.parametrize(("words", "command"), LEAVES, ids=lambda v: "-".join(v) if isinstance(v, tuple) else "")
def test_every_command_explains_itself_with_an_example(words: tuple[str, ...], command: click.Command) -> None:
    result = RUNNER.invoke(khantui, [*words, "--help"])
    assert result.exit_code == 0, result.output
    if not isinstance(command, click.Group):
        assert "Example:" in result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_the_commands_say(name: str) -> None:
    command = dict(LEAVES)[(name,)]
    assert command.short_help == COMMANDS[name][1]


@pytest.mark.parametrize(("words", "command"), LEAVES, ids=lambda v: "-".join(v) if isinstance(v, tuple) else "")
def test_every_command_takes_the_common_options(words: tuple[str, ...], command: click.Command) -> None:
    if not isinstance(command, click.Group):
        assert isinstance(command, KhanCommand)


def test_the_documentation_lists_every_command() -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    missing = [" ".join(words) for words, _ in LEAVES if f"khantui {' '.join(words)}" not in page]
    assert missing == []


def test_the_documentation_lists_every_option() -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    options = {
        name
        for _, command in LEAVES
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for name in parameter.opts
        if name.startswith("--")
    }
    assert sorted(name for name in options if name not in page) == []


def test_starting_and_helping_import_nothing_that_a_command_may_not_need() -> None:
    """How long `--help` takes is what it imports; machines differ, modules do not."""
    code = (
        "import sys, khantui.cli\n"
        "try: khantui.cli.main()\n"
        "finally: print(*[name for name, module in sys.modules.items() if module], file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in found.stderr.split()}
    assert "khantui" in loaded
    assert loaded & {"httpx", "textual", "rich", "jsonschema", "msgspec", "asyncio", "backend"} == set()


def test_a_mistyped_command_is_wrong_usage_and_the_right_one_is_named() -> None:
    result = RUNNER.invoke(khantui, ["rnus"])
    assert result.exit_code == 2
    assert "did you mean runs" in result.stderr


NEEDING_A_DAEMON = [
    ["pipelines"], ["show", "x"], ["history", "x"], ["diff", "x", "1", "2"], ["rollback", "x", "1"],
    ["delete", "x", "-y"],
    ["run", "x"], ["runs"], ["status", "x"], ["cancel", "x"], ["retry", "x"], ["logs", "x"], ["artifacts", "x"],
    ["schedules"], ["schedule", "x", "--cron", "0 6 * * *"], ["pause", "x"], ["resume", "x"], ["preview", "x"],
    ["events"], ["images"], ["images", "show", "x"], ["images", "add", "x", "--tool", "y"], ["images", "remove", "x"],
    ["daemon", "status"], ["export", "crontab"], ["export", "cronjobs"], ["forecast"],
    ["audit"], ["audit", "denied", "--since", "1d", "-o", "jsonl"],
    ["calendars"], ["calendar", "set", "x", "12-25"], ["calendar", "show", "x"], ["calendar", "delete", "x"],
    ["accounts"], ["accounts", "show", "x"], ["accounts", "delete", "x"], ["secrets"], ["secrets", "list"],
    ["secrets", "show", "x"], ["secrets", "rotate"], ["secrets", "delete", "x"],
    ["channels"], ["channels", "add", "x", "json://h"], ["channels", "remove", "x"], ["channels", "test", "x"],
]  # fmt: skip


@pytest.mark.parametrize("args", NEEDING_A_DAEMON, ids=" ".join)
def test_where_no_daemon_answers_the_exit_code_is_3_and_the_way_out_is_named(
    args: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    tmp_path = tmp_path_factory.mktemp("d")  # a short path: it is a socket's
    result = RUNNER.invoke(khantui, [*args, "--data", str(tmp_path)])
    assert result.exit_code == 3, result.output
    assert f"no daemon answers at unix://{tmp_path}/api.sock" in result.stderr
    assert "khantui up" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["runs", "--limit", "0"], "limit"),
        (["run", "x", "-p", "nonsense"], "NAME=VALUE"),
        (["logs", "x", "--since", "soon"], "span of time"),
        (["logs", "x", "-f", "--grep", "y"], "--follow"),
        (["schedule", "x"], "say when"),
        (["schedule", "x", "--cron", "* * * * *", "--at", "2026-01-01"], "say when"),
        (["schedule", "x", "--at", "tomorrow"], "no time"),
        (["schedule", "x", "--at", "2026-01-01T06:00", "--tz", "Mars/Base"], "no time zone"),
        (["artifacts", "x", "--to", "y"], "NAME"),
        (["retry", "x", "--only"], "--from"),
        (["channels", "add", "x", "json://h", "--every", "soon"], "no span of time"),
        (["images", "add", "x"], "say what runs it"),
        (["audit", "whom=ann"], "entries have no 'whom'"),
        (["audit", "--since", "soon"], "no duration"),
        (["images", "add", "x", "--tool", "y", "--interpreter", "'"], "No closing quotation"),
        (["images", "add", "x", "--tool", "y", "--holds", "y"], "NAME=VALUE"),
        (["init", "Not A Name"], "no name"),
        (["up", "--address", "http://127.0.0.1:1"], "--data"),
        (["--address", "nonsense", "runs"], "no address"),
        (["lint", "/does/not/exist"], "cannot be read"),
        (["apply", "/does/not/exist"], "cannot be read"),
    ],
)
def test_wrong_usage_is_exit_2_with_words(args: list[str], words: str, tmp_path: Path) -> None:
    result = RUNNER.invoke(khantui, args, env={"KHANTUI_DATA": str(tmp_path)})
    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert "Traceback" not in result.output


def test_an_error_of_ours_has_a_traceback_only_if_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("oh")

    monkeypatch.setattr("khantui.cli.home.show_home", broken)
    result = RUNNER.invoke(khantui, [])
    assert result.exit_code == 1
    assert "unexpected RuntimeError: oh" in result.stderr
    assert "KHANTUI_DEBUG" in result.stderr
    result = RUNNER.invoke(khantui, [], env={"KHANTUI_DEBUG": "1"})
    assert isinstance(result.exception, RuntimeError)


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    code = "import sys; from khantui.cli import main; main()"
    shell = f"{sys.executable} -c '{code}' schema | head -c 1; echo \" ${{PIPESTATUS[0]}}\""
    found = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True)
    assert found.stdout == "{ 0\n"
    assert found.stderr == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_program(shell: str) -> None:
    result = RUNNER.invoke(khantui, ["completion", shell])
    assert result.exit_code == 0
    assert "_KHANTUI_COMPLETE" in result.stdout


@pytest.mark.parametrize(
    ("line", "expected"),
    [("khantui pip", "pipelines"), ("khantui up --head", "--headless"), ("khantui init --template f", "fan-out")],
)
def test_bash_completes(line: str, expected: str) -> None:
    words = line.split(" ")
    found = program(_KHANTUI_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1))
    # click names the variable after the program, which is not `khantui` where it is started by -c
    assert expected in found.stdout


def test_completion_is_silent_where_no_daemon_answers(tmp_path: Path) -> None:
    found = program(
        _KHANTUI_COMPLETE="bash_complete", COMP_WORDS="khantui show w", COMP_CWORD="2", KHANTUI_DATA=str(tmp_path)
    )
    assert (found.stdout.strip(), found.stderr) == ("", "")


def test_the_version_is_json_if_asked_for() -> None:
    result = RUNNER.invoke(khantui, ["version", "-o", "json"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", json.loads(result.stdout)["khantui"])
    assert RUNNER.invoke(khantui, ["-o", "json", "version"]).stdout == result.stdout
