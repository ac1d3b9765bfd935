"""The form of a document: which parts it has, what each asks, and what an answer changes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from khantui.state.draft import (
    Draft,
    Path,
    argv_to_text,
    inputs_to_text,
    names,
    pairs_to_text,
    text_to_argv,
    text_to_inputs,
    text_to_pairs,
)

TIMES = (
    ("only by hand", ""),
    ("every hour", "0 * * * *"),
    ("every day at 06:00", "0 6 * * *"),
    ("every working day at 06:00", "0 6 * * MON-FRI"),
    ("every Monday at 06:00", "0 6 * * MON"),
    ("on the first of each month at 06:00", "0 6 1 * *"),
)


CACHED = (("every time anew", "no"), ("unless an earlier result can stand", "yes"))
ITS_OWN_CACHE = (("as the pipeline says", "usual"), *CACHED)

# what a stage begins with, by its image: small, and whole enough to run
STARTS = {
    "shell": 'echo "hello from a stage"\n# read "$KHAN_INPUT_name", write "$KHAN_OUTPUT_name"\n',
    "python": (
        'import os\n\nprint("hello from a stage")\n'
        '# read open(os.environ["KHAN_INPUT_name"]), write open(os.environ["KHAN_OUTPUT_name"], "w")\n'
    ),
    "duckdb": (
        "SELECT 'hello from a stage' AS said;\n"
        "-- COPY (SELECT * FROM read_csv(getenv('KHAN_INPUT_name'))) TO (getenv('KHAN_OUTPUT_name')) (FORMAT csv);\n"
    ),
    "r": 'cat("hello from a stage\\n")\n# read Sys.getenv("KHAN_INPUT_name"), write Sys.getenv("KHAN_OUTPUT_name")\n',
}


class Known(NamedTuple):
    """What can be picked: images with what they hold, and other pipelines' outputs (`pipeline/output`)."""

    images: Sequence[tuple[str, str]] = ()
    outputs: Sequence[str] = ()


class Question(NamedTuple):
    """A field of the form. `path` is where lint speaks of it."""

    key: str
    label: str
    kind: str  # line, text, choice, many
    value: str | list[str]
    path: Path
    choices: Sequence[tuple[str, str]] = ()
    hint: str = ""
    rows: int = 4


def parts(draft: Draft) -> list[tuple[str, str]]:
    """The parts of the form: (key, what it is called)."""
    found = [("pipeline", "about it"), ("when", "when it runs"), ("environment", "environment"), ("inputs", "inputs")]
    return [*found, *((f"stage:{name}", name) for name in draft.stages)]


def questions(draft: Draft, part: str, known: Known, cron: str, zone: str, *, new: bool) -> list[Question]:
    """What a part asks."""
    if part == "pipeline":
        return _about(draft, new)
    if part == "when":
        return _when(draft, cron, zone)
    if part == "environment":
        hint = "NAME=value, one a line; ${date}, ${date - 7d}, ${date:%Y%m%d}, ${parameters.NAME}, ${OTHER}"
        text = pairs_to_text(draft.get(("environment",), {}) or {})
        return [Question("environment", "variables", "text", text, ("environment",), (), hint, 8)]
    if part == "inputs":
        return _inputs(draft, known)
    return _stage(draft, part.removeprefix("stage:"), known)


def _inputs(draft: Draft, known: Known) -> list[Question]:
    hint = "NAME=file:///path/to/data, or NAME=pipeline/output; one a line"
    text = inputs_to_text(draft.get(("inputs",), {}) or {})
    fields = [Question("inputs", "what it reads from outside", "text", text, ("inputs",), (), hint, 4)]
    taken = draft.taken()
    choices = [(name, name) for name in known.outputs]
    if choices:
        picked = [name for name in taken if name in known.outputs]
        fields.insert(0, Question("taken", "what other pipelines have made", "many", picked, (), choices))
    return fields


def _about(draft: Draft, new: bool) -> list[Question]:
    def text(key: str) -> str:
        return str(draft.get((key,), "") or "")

    fields = [
        Question("description", "what it is for", "line", text("description"), ("description",)),
        Question("owner", "whose it is", "line", text("owner"), ("owner",), (), "team@example.org"),
        Question(
            "labels", "labels", "line", " ".join(f"{k}={v}" for k, v in (draft.get(("labels",), {}) or {}).items()),
            ("labels",), (), "team=analytics tier=1",
        ),
        Question("cache", "stages are run", "choice", _said(draft.get(("cache",)), "no"), ("cache",), CACHED),
    ]  # fmt: skip
    if new:
        hint = "small letters, digits, - and _: weekly-learners"
        fields.insert(0, Question("name", "name", "line", draft.name, ("name",), (), hint))
    return fields


def _when(draft: Draft, cron: str, zone: str) -> list[Question]:
    times = list(TIMES)
    return [
        Question("times", "it runs", "choice", cron, ("schedule",), times),
        Question("cron", "or as a cron expression", "line", cron, ("schedule",), (), "0 6 * * MON"),
        Question("zone", "time zone", "line", zone, ("schedule",), (), "Europe/Paris"),
    ]


def _stage(draft: Draft, name: str, known: Known) -> list[Question]:
    here: Path = ("stages", name)
    stage: Mapping[str, Any] = draft.get(here, {}) or {}
    reads = [(a, a) for a in draft.readable(name)]
    others = [(s, s) for s in draft.stages if s != name]
    limit = draft.get((*here, "retries", "limit"))
    images = list(known.images) or [("shell", "shell")]
    fields = [
        Question("stage-name", "name of the stage", "line", name, here),
        Question("image", "what it is written in", "choice", str(stage.get("image", "")), (*here, "image"), images),
    ]
    if "run" in stage:
        argv = stage["run"] if isinstance(stage["run"], list) else []
        fields.append(Question("run", "command", "line", argv_to_text(map(str, argv)), (*here, "run")))
    else:
        hint = "reads $KHAN_INPUT_<name>, writes $KHAN_OUTPUT_<name>"
        script = str(stage.get("script", ""))
        fields.append(Question("script", "what it does", "text", script, (*here, "script"), (), hint, 8))
    later, results = " ".join(draft.writes(name, "intermediates")), " ".join(draft.writes(name, "outputs"))
    if reads:
        fields.append(
            Question("reads", "reads", "many", [str(i) for i in stage.get("inputs", [])], (*here, "inputs"), reads)
        )
    fields += [
        Question("hands-on", "writes for later stages", "line", later, (*here, "outputs"), (), "names"),
        Question("results", "writes as results", "line", results, (*here, "outputs"), (), "names"),
    ]
    if others:
        after = [str(a) for a in stage.get("after", [])]
        fields.append(Question("after", "also waits for", "many", after, (*here, "after"), others))
    fields += [
        Question("retries", "tries again, times", "line", str(limit or ""), (*here, "retries"), (), "0"),
        Question("timeout", "at most so long", "line", str(stage.get("timeout", "")), (*here, "timeout"), (), "20m"),
        Question("cache", "it is run", "choice", _said(stage.get("cache"), "usual"), (*here, "cache"), ITS_OWN_CACHE),
    ]
    return fields


def _said(cache: Any, usual: str) -> str:
    return "yes" if cache is True else "no" if cache is False else usual


def answer(draft: Draft, part: str, key: str, value: str | list[str], known: Known) -> None:
    """Write an answer into the document."""
    text = value if isinstance(value, str) else ""
    if part == "pipeline":
        if key == "labels":
            draft.set(("labels",), text_to_pairs("\n".join(text.split())) or None)
        elif key == "cache":
            draft.set(("cache",), True if text == "yes" else None)
        else:
            draft.set((key,), text or None)
    elif part == "environment":
        draft.set(("environment",), text_to_pairs(text) or None)
    elif part == "inputs":
        if key == "taken":
            draft.take(list(value), known.outputs)
        else:
            draft.set(("inputs",), text_to_inputs(text) or None)
    elif part.startswith("stage:"):
        _answer_stage(draft, part.removeprefix("stage:"), key, value)


def _answer_stage(draft: Draft, name: str, key: str, value: str | list[str]) -> None:
    here: Path = ("stages", name)
    text = value if isinstance(value, str) else ""
    if key in ("hands-on", "results"):
        draft.set_writes(name, "outputs" if key == "results" else "intermediates", names(text))
    elif key == "reads":
        draft.set((*here, "inputs"), list(value) or None)
    elif key == "after":
        draft.set((*here, "after"), list(value) or None)
    elif key == "run":
        draft.set((*here, "run"), text_to_argv(text))
    elif key == "retries":
        if text.strip().isdecimal() and int(text):
            draft.set((*here, "retries", "limit"), int(text))
        else:
            draft.set((*here, "retries"), text.strip() or None if text.strip() not in ("", "0") else None)
    elif key == "script":
        draft.set((*here, key), text)
    elif key == "cache":
        draft.set((*here, key), {"yes": True, "no": False}.get(text))
    else:
        draft.set((*here, key), text or None)
