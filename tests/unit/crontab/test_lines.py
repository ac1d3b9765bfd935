"""Crontabs as they are found in the world, read line by line."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.schedule.cron import parse_cron
from khantui.crontab.lines import Crontab, Entry, parse

DEBIAN = """\
# /etc/crontab: system-wide crontab
SHELL=/bin/sh
# You can also override PATH, but by default, newer versions inherit it
#PATH=/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin

# m h dom mon dow user\tcommand
17 *\t* * *\troot\tcd / && run-parts --report /etc/cron.hourly
25 6\t* * *\troot\ttest -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }
47 6\t* * 7\troot\ttest -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.weekly; }
52 6\t1 * *\troot\ttest -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.monthly; }
#
"""


def only(text: str, *, system: bool = False) -> Entry:
    read = parse(text, system=system)
    assert len(read.entries) == 1, read
    return read.entries[0]


def refused(read: Crontab) -> list[int]:
    return [r.line for r in read.remarks if not r.kept]


def test_the_crontab_of_debian() -> None:
    read = parse(DEBIAN, system=True)
    assert [(e.line, e.when, e.user) for e in read.entries] == [
        (7, "17 * * * *", "root"),
        (8, "25 6 * * *", "root"),
        (9, "47 6 * * 7", "root"),
        (10, "52 6 1 * *", "root"),
    ]
    assert read.entries[1].command == "test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }"
    assert read.entries[0].comment == "m h dom mon dow user\tcommand"
    assert not read.remarks


@pytest.mark.parametrize(
    ("line", "when", "command"),
    [
        ("0 6 * * MON x", "0 6 * * MON", "x"),
        ("0\t6\t*\t*\tmon-fri\tx y  z \t", "0 6 * * mon-fri", "x y  z"),
        ("   */5 * * * * x\r", "*/5 * * * *", "x"),
        ("0 0 * * 7 x", "0 0 * * 7", "x"),
        ("0 0 * * 5-7 x", "0 0 * * 5-7", "x"),
        ("0 0 * jan,JUL sun x", "0 0 * jan,JUL sun", "x"),
        ("0-30/10,45 1-5/2 * * * x", "0-30/10,45 1-5/2 * * *", "x"),
        ("@daily x", "@daily", "x"),
        ("@Midnight\tx y", "@midnight", "x y"),
        ("@annually x", "@annually", "x"),
        ("@every_minute x", "* * * * *", "x"),
        ("@reboot sleep 60 && x", "", "sleep 60 && x"),
        ("-*/15 * * * * x", "*/15 * * * *", "x"),
        ("* * * * * FOO=bar x", "* * * * *", "FOO=bar x"),
        ("* * * * * x # no comment", "* * * * *", "x # no comment"),
        ("5/10 * * * * x", "5 * * * *", "x"),
        ("0 0 1-31/2 * MON x", "0 0 1-31/2 * MON", "x"),
        ("0 0 * * */2 x", "0 0 * * */2", "x"),
        ("0 0 13 * FRI x", "0 0 13 * FRI", "x"),
    ],
)
def test_lines_that_run_something(line: str, when: str, command: str) -> None:
    entry = only(line)
    assert (entry.when, entry.command) == (when, command)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("nonsense", "neither a comment"),
        ("* * * * x", "neither a comment"),
        ("0 6 * * MON", "neither a comment"),
        ("60 * * * * x", "no minute"),
        ("* 24 * * * x", "no hour"),
        ("* * 0 * * x", "no day of month"),
        ("* * * foo * x", "no month"),
        ("* * * * 8 x", "no day of week"),
        ("*/0 * * * * x", "no minute"),
        ("1, * * * * x", "no minute"),
        ("@fortnightly x", "no time that cron knows"),
        ("@daily", "neither a comment"),
        ("* * * * * %stdin alone", "no command"),
        ("0 0 */2 * MON x", "both fields for days"),
        ("0 0 1 * */2 x", "both fields for days"),
        ("* * * * * a\0b", "NUL"),
        ("A-B=c", "cannot be a variable's name"),
        ("KHAN_X=1", "Khantui's own"),
        ("CRON_TZ=Mars/Base", "no time zone"),
        ("RANDOM_DELAY=soon", "no number of minutes"),
    ],
)
def test_lines_that_are_not_imported_are_told_with_their_number(line: str, words: str) -> None:
    read = parse(f"# one\n\n{line}\n")
    assert not read.entries
    assert [(r.line, r.kept) for r in read.remarks] == [(3, False)]
    assert words in read.remarks[0].message


def test_a_line_without_a_command_behind_the_user() -> None:
    read = parse("* * * * * root\n", system=True)
    assert refused(read) == [1]


@pytest.mark.parametrize(
    ("rest", "command", "stdin"),
    [
        ("mail -s hi a%Dear a,%bye", "mail -s hi a", "Dear a,\nbye\n"),
        ("cat%one%", "cat", "one\n"),
        ("cat%", "cat", "\n"),
        (r"date +\%Y-\%m", "date +%Y-%m", None),
        (r"cat%50\% of%it", "cat", "50% of\nit\n"),
        (r"grep '\.x\\' f", r"grep '\.x\\' f", None),
        ("x \\", "x \\", None),
    ],
)
def test_percent_signs(rest: str, command: str, stdin: str | None) -> None:
    entry = only(f"* * * * * {rest}")
    assert (entry.command, entry.stdin) == (command, stdin)


def test_environment_holds_for_the_lines_after_it() -> None:
    text = "A=1\n0 1 * * * x\nA = \"two words \"\n'B'='it'\nEMPTY=\nC=don't # kept\n0 2 * * * y\n"
    first, second = parse(text).entries
    assert first.environment == {"A": "1"}
    assert second.environment == {"A": "two words ", "B": "it", "EMPTY": "", "C": "don't # kept"}


def test_what_is_said_to_cron_itself_is_no_variable_of_commands() -> None:
    text = "SHELL=/bin/bash\nMAILTO=a@b.org\nCRON_TZ=Asia/Tokyo\nRANDOM_DELAY=30\nTZ=UTC\nPATH=/bin\n@daily x\n"
    entry = only(text)
    assert (entry.shell, entry.mail, entry.zone, entry.delay) == ("/bin/bash", "a@b.org", "Asia/Tokyo", 30)
    assert entry.environment == {"TZ": "UTC", "PATH": "/bin"}


def test_an_unknown_zone_leaves_the_one_before() -> None:
    assert only("CRON_TZ=Asia/Tokyo\nCRON_TZ=Mars/Base\n@daily x\n").zone == "Asia/Tokyo"


def test_nothing_is_expanded_and_that_is_said() -> None:
    read = parse("PATH=$HOME/bin:/bin\n@daily x\n")
    assert read.entries[0].environment == {"PATH": "$HOME/bin:/bin"}
    assert [r.line for r in read.remarks] == [1]


def test_the_comment_right_above_describes() -> None:
    text = "# far away\n\n# Backs up\n#  the books\n@daily x\n@daily y\n"
    assert [e.comment for e in parse(text).entries] == ["Backs up the books", ""]


def test_lines_of_windows_are_read_and_told_once() -> None:
    read = parse("A=1\r\n0 1 * * * x\r\n")
    assert read.entries[0].command == "x"
    assert read.entries[0].environment == {"A": "1"}
    assert [(r.line, r.kept) for r in read.remarks] == [(1, True)]


def test_a_random_minute_is_always_the_same() -> None:
    minutes = {parse_cron(only("0~9 4 * * * x").when).minutes for _ in range(3)}
    assert len(minutes) == 1
    assert minutes.pop()[0] in range(10)


def test_a_user_where_none_is_expected_is_asked_about() -> None:
    read = parse("* * * * * root x\n")
    assert "--system" in read.remarks[0].hint


FIELDS = st.sampled_from(
    ["*", "0", "7", "*/5", "1-5", "mon", "61", "a", "1,2", "0~5", "5/2", "@daily", "@reboot", "-1"]
)
LINES = st.one_of(
    st.text(max_size=40),
    st.builds(
        lambda fs, rest: " ".join(fs) + " " + rest, st.lists(FIELDS, min_size=1, max_size=6), st.text(max_size=20)
    ),
    st.builds(
        "{}={}".format, st.sampled_from(["MAILTO", "CRON_TZ", "A", "RANDOM_DELAY", "SHELL", "é"]), st.text(max_size=9)
    ),
)


@settings(max_examples=300)
@given(st.lists(LINES, max_size=12), st.booleans())
def test_whatever_is_in_it_each_line_is_imported_or_told(lines: list[str], system: bool) -> None:
    text = "\n".join(lines)
    read = parse(text, system=system)
    told = {e.line for e in read.entries} | set(refused(read)) | set(read.variables)
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        stripped = line.rstrip("\r").strip(" \t\f\v")
        assert (number in told) == bool(stripped and not stripped.startswith("#")), (number, line)
    for entry in read.entries:
        if entry.when:
            parse_cron(entry.when)
