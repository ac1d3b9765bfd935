"""What a job is called, after its command. Pure."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence

from khantui.crontab.lines import Entry

_LONGEST = 48
_DEEPEST = 3  # shells in shells that are looked into
_ASSIGNED = re.compile(r"[A-Za-z_]\w*=.*", re.ASCII | re.DOTALL)
_CONTROL = frozenset("();<>|&")
# commands before the one that matters, and what stands before a program
_ASIDE = frozenset(
    "cd test [ [[ export set source . true : sleep umask ulimit command which exit if then else fi while do done "
    "for { } ! trap wait".split()
)
_BEFORE = frozenset(
    "sudo nice ionice nohup env exec time timeout flock setsid chronic stdbuf systemd-cat bash sh dash zsh ksh "
    "python python2 python3 perl php ruby node Rscript java su cronitor".split()
)
_LANGUAGES = frozenset("python python2 python3 perl php ruby node Rscript".split())
_MANY = frozenset(  # programs that do many things: the next word says what
    "run-parts make docker podman git npm yarn artisan manage.py rake bundle systemctl service aws gcloud gsutil "
    "kubectl helm apt-get apt apk yum dnf pip curl wget rsync psql mysql mysqldump pg_dump find rm cp mv tar wp drush "
    "console kill pkill".split()
)
_VALUED = frozenset("-u -g -n -w -k -s -l -i -C -h".split())  # options of those before, whose value follows


def names(entries: Sequence[Entry], known: Mapping[str, str]) -> dict[str, str]:
    """A name for each job (by its `key`): those `known` keep theirs, others take the first that is free."""
    found = {key: known[key] for key in map(key_of, entries) if key in known}
    taken = set(known.values())
    for entry in entries:
        key = key_of(entry)
        if key in found:
            continue
        name = name_of(entry.command)
        if name in taken:
            name = f"{name}-{key[:4]}" if f"{name}-{key[:4]}" not in taken else f"{name}-{key}"
        found[key] = name
        taken.add(name)
    return found


def key_of(entry: Entry) -> str:
    """What tells a job from others, whenever and in whichever line it runs: 12 characters."""
    parts = [entry.user, entry.shell, entry.command, "" if entry.stdin is None else f"\0{entry.stdin}"]
    parts += [f"{name}={value}" for name, value in sorted(entry.environment.items())]
    return hashlib.sha256("\0".join(parts).encode(errors="replace")).hexdigest()[:12]


def name_of(command: str) -> str:
    """A pipeline's name after what a command does: `cd /srv && ./backup.sh db` is `backup`."""
    words = next((w for w in _programs(command) if w), None) or ["job"]
    stem = _stem(words[0])
    if words[0].rpartition("/")[2] in _MANY and len(words) > 1:
        stem = f"{stem}-{_stem(words[1])}"
    slug = re.sub(r"[^a-z0-9]+", "-", stem.lower())[:_LONGEST].strip("-")
    return slug if slug[:1].isalpha() else f"job-{slug}".strip("-")


def words_of(command: str) -> list[str]:
    """The words of a command as a shell takes them apart, operators among them; roughly where it is no shell's."""
    try:
        lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
        lexer.commenters, lexer.whitespace_split = "", True
        return list(lexer)
    except ValueError:
        return re.findall(r"[^\s();<>|&\"']+|[();<>|&]+", command)


def _programs(command: str, depth: int = 0) -> Iterator[list[str]]:
    """For each simple command its program and what is no option behind it; those that only prepare are left out."""
    simple: list[str] = []
    for word in [*words_of(command), ";"]:
        if word and set(word) <= _CONTROL:
            if found := _program(simple, depth):
                yield found
            simple = [">"] if ">" in word or "<" in word else []
        else:
            simple.append(word)


def _program(words: list[str], depth: int) -> list[str]:
    if words[:1] == [">"]:  # a redirection's target
        words = words[2:]
    skipping = shell = True
    found: list[str] = []
    at = 0
    while at < len(words):
        word = words[at]
        base = word.rpartition("/")[2]
        at += 1
        if skipping and (_ASSIGNED.fullmatch(word) or base in _BEFORE or re.fullmatch(r"\d+(\.\d+)?[smhd]?", word)):
            shell = base not in _LANGUAGES
            if base == "flock":
                at += 1 + sum(w.startswith("-") for w in words[at : at + 1])
            continue
        if word.startswith(("-", "+")):
            at += skipping and shell and word in _VALUED and at + 1 < len(words)
            continue
        if skipping and base in _ASIDE:
            return []
        if skipping and re.search(r"\s", word):  # sh -c '…'; what other languages say has no programs
            return next(_programs(word, depth + 1), []) if shell and depth < _DEEPEST else []
        skipping = False
        found.append(word)
    return found


def _stem(word: str) -> str:
    base = word.rstrip("/").rpartition("/")[2] or word
    return re.sub(r"\.(sh|py|pl|php|rb|js|R|r|bash|jar|cron)$", "", base)
