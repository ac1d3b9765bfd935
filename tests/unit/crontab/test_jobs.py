"""What a crontab becomes: names, documents, schedules, and what is said of lines."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.spec.lint import lint
from khantui.crontab.jobs import LABEL, Imported, convert
from khantui.crontab.lines import parse
from khantui.crontab.names import name_of


def imported(text: str, *, system: bool = False, known: dict[str, str] | None = None) -> Imported:
    return convert(parse(text, system=system), "Europe/Berlin", known)


def said(text: str, *, system: bool = False) -> str:
    return "\n".join(f"{r.line}: {r.message}" for r in imported(text, system=system).remarks)


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("/usr/local/bin/backup.sh --full > /dev/null 2>&1", "backup"),
        ("cd /srv/app && ./bin/Nightly_Report.py", "nightly-report"),
        ("cd / && run-parts --report /etc/cron.hourly", "run-parts-cron-hourly"),
        ("test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }", "run-parts-cron-daily"),
        ("[ -x /usr/lib/php/sessionclean ] && /usr/lib/php/sessionclean", "sessionclean"),
        ("flock -n /tmp/lock /opt/sync", "sync"),
        ("nice -n 19 ionice -c3 /usr/bin/updatedb", "updatedb"),
        ("timeout 30 curl -s https://example.org/ping", "curl-ping"),
        ("LANG=C PATH=/bin:/usr/bin python3 -u /srv/etl.py --all", "etl"),
        ("python3 -m reports.weekly", "reports-weekly"),
        ("sudo -u www-data php /var/www/artisan schedule:run", "artisan-schedule-run"),
        ("bash -c 'cd /srv && ./load.sh'", "load"),
        ("test -d /run && perl -e 'sleep int(rand(43200))' && certbot -q renew", "certbot"),
        ("sleep 30; ./x", "x"),
        ("(date; uptime) >> /var/log/x", "date"),
        ("> /var/log/x", "job"),
        ("7z a /b.7z /srv", "job-7z"),
        ("echo 'unbalanced", "echo"),
        ("été", "t"),
        ("'", "job"),
    ],
)
def test_names_follow_from_commands(command: str, name: str) -> None:
    assert name_of(command) == name


def test_jobs_of_the_same_program_have_names_of_their_own() -> None:
    names = [job.name for job in imported("@daily b.sh one\n@daily b.sh two\n").jobs]
    assert names[0] == "b"
    assert names[1].startswith("b-")
    assert len(names[1]) == 6


def test_names_stay_when_lines_are_added_above_and_moved() -> None:
    before = imported("@daily b.sh one\n@daily b.sh two\n")
    known = {job.key: job.name for job in before.jobs}
    after = imported("@hourly b.sh three\n0 7 * * * b.sh two\n@daily b.sh one\n", known=known)
    assert {j.key: j.name for j in after.jobs}.items() >= known.items()
    assert len({j.name for j in after.jobs}) == 3


def test_lines_that_run_the_same_are_one_pipeline_with_two_schedules() -> None:
    found = imported("0 1 * * * x\nCRON_TZ=Asia/Tokyo\nRANDOM_DELAY=5\n@daily x\n")
    assert [(j.name, j.lines) for j in found.jobs] == [("x", (1, 4))]
    assert [s.words for s in found.schedules] == [
        ["khantui", "schedule", "x", "--name", "x", "--cron", "0 1 * * *", "--tz", "Europe/Berlin"],
        ["khantui", "schedule", "x", "--name", "x-2", "--cron", "@daily", "--tz", "Asia/Tokyo", "--jitter", "300s"],
    ]


def test_a_document_says_all_that_the_line_said() -> None:
    (job,) = imported("MAILTO=ops@example.org\nA=${B}\n# The books\n@daily root x\n", system=True).jobs
    assert job.document == {
        "name": "x",
        "description": "The books",
        "labels": {LABEL: job.key, "crontab-user": "root"},
        "owner": "ops@example.org",
        "environment": {"A": "$${B}"},
        "stages": {"run": {"image": "shell", "run": ["sh", "-c", "x"]}},
    }


def test_whom_mailto_names_hears_of_failures_if_that_is_asked_for() -> None:
    text = 'MAILTO="ops@example.org, Dev@example.org"\n@daily a\nMAILTO=root\n@daily b\nMAILTO=\n@daily c\n'
    assert all("notify" not in job.document for job in convert(parse(text), "UTC").jobs)
    found = convert(parse(text), "UTC", mails=True)
    (channel,) = found.channels
    assert (channel.name, channel.to) == (
        "mail-ops-example-org-dev-example-org", ("ops@example.org", "Dev@example.org")
    )  # fmt: skip
    assert channel.url("mailtos://u:p@h") == "mailtos://u:p@h?to=ops@example.org,Dev@example.org"
    assert channel.url("mailto://h?from=x").startswith("mailto://h?from=x&to=")
    a, b, c = found.jobs
    assert a.document["notify"] == {"failed": [channel.name], "recovered": [channel.name]}
    assert "owner" not in a.document  # it has one only
    assert "notify" not in b.document
    assert "notify" not in c.document
    assert all(job.ok for job in found.jobs)
    hints = [r.hint for r in found.remarks if r.message.startswith("MAILTO")]
    assert "the channel mail-ops-example-org-dev-example-org mails to ops@example.org, Dev@example.org" in hints


def test_channels_of_addresses_alike_have_names_of_their_own() -> None:
    text = "MAILTO=a.b@example.org\n@daily a\nMAILTO=a-b@example.org\n@daily b\n"
    found = convert(parse(text), "UTC", mails=True)
    assert [c.name for c in found.channels] == ["mail-a-b-example-org", "mail-a-b-example-org-2"]


@pytest.mark.parametrize("stdin", ["one%two", "END%it's", "$HOME `x` \\\\%END_"])
def test_standard_input_arrives_as_cron_gives_it(stdin: str) -> None:
    (job,) = imported(f'SHELL=/bin/bash\n@daily cat; echo "don\'t"%{stdin}\n').jobs
    script = job.document["stages"]["run"]["script"]
    found = subprocess.run(["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout == stdin.replace("%", "\n") + "\ndon't\n"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("curl -s https://example.org", "network (curl)"),
        ("x http://example.org", "needed the network"),
        ("rsync -a /srv/ backup@host:/srv/", "network (rsync)"),
        ("cat ~/.x", "files of this machine"),
        ("cat $HOME/x > /var/log/x", "$HOME/x, /var/log/x"),
        ("sh -c 'cat /etc/passwd'", "/etc/passwd"),
        ("tar --file=/srv/x", "/srv/x"),
        ("/usr/local/bin/x", "below /usr"),
        ("systemctl restart x", "the machine itself (systemctl)"),
        ("sudo x", "changes the user"),
    ],
)
def test_what_a_command_looks_as_if_it_needed_is_told(command: str, words: str) -> None:
    assert words in said(f"\n@daily {command}\n")


@pytest.mark.parametrize("command", ["echo 1/2 > /dev/null", "/usr/bin/sort /tmp/x", "python3 -c 'print(1)'", "date"])
def test_what_needs_nothing_of_the_machine_is_not_warned_of(command: str) -> None:
    assert said(f"@daily {command}\n") == ""


def test_what_has_no_like_here_is_told_by_line() -> None:
    text = "SHELL=/bin/zsh\nMAILTO=a@b.org\nMAILFROM=x\nHOME=/srv\n@reboot alice x\n"
    lines = [r.line for r in imported(text, system=True).remarks]
    assert lines == [2, 3, 4, 5, 5, 5]
    assert "@reboot: no schedule" in said(text, system=True)
    assert "it ran as 'alice'" in said(text, system=True)
    assert "SHELL is '/bin/zsh'" in said(text, system=True)
    found = imported(text, system=True)
    assert (len(found.jobs), found.schedules, found.refused) == (1, (), 0)


def test_a_schedule_never_takes_the_name_of_another_pipeline() -> None:
    found = imported("0 1 * * * x\n0 2 * * * x\n0 3 * * * x-2\n")
    assert [(s.pipeline, s.name) for s in found.schedules] == [("x", "x"), ("x", "x-3"), ("x-2", "x-2")]


def test_a_document_with_an_error_is_told() -> None:
    found = imported("API_TOKEN=ghp_0123456789012345678901234567890123456789\n@daily x\n")
    assert [job.ok for job in found.jobs] == [False]
    assert "the pipeline x has an error" in said("API_TOKEN=ghp_0123456789012345678901234567890123456789\n@daily x\n")


@settings(max_examples=150)
@given(st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=4), st.booleans())
def test_whatever_commands_there_are_names_are_good_and_documents_are_read(commands: list[str], system: bool) -> None:
    found = imported("\n".join(f"@daily {c}" for c in commands), system=system)
    assert len({j.name for j in found.jobs}) == len(found.jobs)
    for job in found.jobs:
        report = lint(job.text)
        assert job.ok == report.ok
        assert not {"bad-name", "wrong-type", "syntax"} & {f.code for f in report.findings}
