"""The environment: what `${…}` refers to, and what should not be pasted here."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from backend.spec.interpolate import MOMENTS, RUN_NAMES, Context, InterpolationError, circle, fill, references, resolve
from backend.spec.model import Pipeline
from backend.spec.reader import Path
from backend.spec.rules.registry import WARNING, Remark, Surroundings, meant, rule, stages

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET_NAME = re.compile(
    r"(?:passw(?:or)?d|passphrase|secret|token|(?:api|private|access|secret)_?key|credentials?)(?![A-Za-z])",
    re.IGNORECASE,
)
# what is told about a secret: where it is, of which kind
_ABOUT = re.compile(
    r"_(?:file|path|dir|url|uri|host|name|id|user|type|kind|table|column|field|ttl|count|limit)$", re.IGNORECASE
)
_SECRETS = {
    "an AWS access key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a GitHub token": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,})"),
    "a Slack token": re.compile(r"\bxox[abposr]-[A-Za-z0-9-]{10,}"),
    "a Google API key": re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "a signed token (JWT)": re.compile(r"\beyJ[A-Za-z0-9_-]{8,500}\.eyJ"),
    "a password in an address": re.compile(r"://[^/\s:@]+:(?!\$)[^/\s:@]{3,}@"),
}
_VOLATILE = ("run.id", "run.attempt")
_DAYS = (
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(2024, 2, 29, 12, tzinfo=UTC),
    datetime(2100, 12, 31, 23, 59, tzinfo=UTC),
)


def _texts(pipeline: Pipeline) -> Iterator[tuple[Path, str]]:
    for name, text in pipeline.environment.items():
        yield ("environment", name), text
    yield from _addresses(pipeline)


def _addresses(pipeline: Pipeline) -> Iterator[tuple[Path, str]]:
    for name, declared in pipeline.inputs.items():
        if declared.uri:
            yield ("inputs", name, "uri"), declared.uri
    for name, output in pipeline.outputs.items():
        if output.uri:
            yield ("outputs", name, "uri"), output.uri


@rule(bad_variable="A variable's name that no shell could use, or that is Khantui's own.")
def variables(pipeline: Pipeline, _: Surroundings) -> Iterator[Remark]:
    """Variables have names that programs can read."""
    for name in pipeline.environment:
        place = ("environment", name)
        if not _VARIABLE.fullmatch(name):
            yield Remark(
                "bad-variable", place, f"{name!r} cannot be a variable's name", "letters, digits and _", key=True
            )
        elif name.startswith("KHAN_"):
            yield Remark("bad-variable", place, f"{name}: names with KHAN_ are Khantui's own", "rename it", key=True)


@rule(nul="The character NUL, which no program can be given.")
def nul(pipeline: Pipeline, _: Surroundings) -> Iterator[Remark]:
    """No text that a program is given holds what ends a text for the system."""
    texts = [*_texts(pipeline)]
    for name, parameter in pipeline.parameters.items():
        texts += [(("parameters", name, "default"), parameter.default or "")]
        texts += [(("parameters", name, "choices", i), choice) for i, choice in enumerate(parameter.choices)]
    for path, _name, stage in stages(pipeline):
        texts += [((*path, "run", i), word) for i, word in enumerate(stage.run)]
    for place, text in texts:
        if "\0" in text:
            yield Remark("nul", place, "a NUL is in this text, and no program can be given one", "delete \\u0000")


@rule(
    bad_interpolation="A `${…}` that cannot be understood: bad date arithmetic, a bad format, a missing brace.",
    undeclared_variable="A `${…}` that names nothing.",
    variable_cycle="Variables that refer to one another in a circle.",
)
def interpolation(pipeline: Pipeline, _: Surroundings) -> Iterator[Remark]:
    """Every `${…}` can be filled in, for every run."""
    variables = (*(f"parameters.{p}" for p in pipeline.parameters), *pipeline.environment)
    names = dict.fromkeys((*MOMENTS, *RUN_NAMES, *variables))
    wrong = False
    for path, text in _texts(pipeline):
        for remark in _reference(path, text, names):
            wrong = True
            yield remark
    if found_circle := circle(pipeline.environment):
        message = f"these refer to one another: {' → '.join(found_circle)}"
        yield Remark("variable-cycle", ("environment", found_circle[0]), message, "one of them must be a plain value")
    elif not wrong:
        yield from _too_large(pipeline)


def _reference(path: Path, text: str, names: Mapping[str, None]) -> Iterator[Remark]:
    try:
        found = dict.fromkeys(r.name for r in references(text))
        unknown = [name for name in found if name not in names]
        for name in unknown:
            yield Remark("undeclared-variable", path, f"${{{name}}} names nothing", meant(name, names))
        if not unknown and any(moment in found for moment in MOMENTS):
            parameters = {n.removeprefix("parameters."): "" for n in found}
            for moment in _DAYS:
                fill(text, Context(moment, parameters=parameters), dict.fromkeys(found, ""))
    except InterpolationError as error:
        yield Remark("bad-interpolation", path, error.message, error.hint)


def _too_large(pipeline: Pipeline) -> Iterator[Remark]:
    """Values that grow as they are put together."""
    parameters = {n: p.default or max(p.choices, key=len, default="") for n, p in pipeline.parameters.items()}
    context = Context(_DAYS[-1], "0" * 20, 1, pipeline.name, 1, parameters=parameters)
    try:
        environment = resolve(pipeline.environment, context)
    except InterpolationError as error:
        place = ("environment", error.variable) if error.variable else ("environment",)
        message = error.message.removeprefix(f"environment.{error.variable}: ")
        yield Remark("bad-interpolation", place, message, error.hint)
        return
    for path, text in _addresses(pipeline):
        try:
            fill(text, context, environment)
        except InterpolationError as error:
            yield Remark("bad-interpolation", path, error.message, error.hint)


@rule(**{"never-reused": "A variable that differs in every run, where stages are to reuse earlier results."})
def volatile(pipeline: Pipeline, _: Surroundings) -> Iterator[Remark]:
    """Every stage sees the whole environment: what differs in each run keeps all of them from being reused."""
    cached = next((name for name in pipeline.stages if pipeline.caches(name)), "")
    if not cached:
        return
    for variable, text in pipeline.environment.items():
        try:
            named = next((r.name for r in references(text) if r.name in _VOLATILE), "")
        except InterpolationError:  # said by the rule above
            continue
        if named:
            message = f"{variable} is never the same twice (${{{named}}}): {cached} is cached, and never reused"
            yield Remark(
                "never-reused", ("environment", variable), message, 'take it out, or "cache": false', WARNING, key=True
            )


@rule(
    unused_parameter="A parameter that nothing refers to.",
    bad_default="A default that is not among the choices.",
)
def parameters(pipeline: Pipeline, _: Surroundings) -> Iterator[Remark]:
    """Parameters are used, and their defaults can be chosen."""
    used: set[str] = set()
    for _path, text in _texts(pipeline):
        try:
            used |= {r.name.removeprefix("parameters.") for r in references(text) if r.name.startswith("parameters.")}
        except InterpolationError:
            return  # said by the rule above; what it refers to is not known
    for name, parameter in pipeline.parameters.items():
        if name not in used:
            message = f"nothing refers to {name!r}"
            hint = f'"environment": {{"{name.upper().replace("-", "_")}": "${{parameters.{name}}}"}}'
            yield Remark("unused-parameter", ("parameters", name), message, hint, WARNING, key=True)
        if parameter.default is not None and parameter.choices and parameter.default not in parameter.choices:
            place = ("parameters", name, "default")
            yield Remark(
                "bad-default",
                place,
                f"{parameter.default!r} is not among the choices",
                meant(parameter.default, parameter.choices),
            )


@rule(**{"pasted-secret": "Something that looks like a secret, in a document that everybody can read."})
def secrets(pipeline: Pipeline, _: Surroundings) -> Iterator[Remark]:
    """Secrets belong to service accounts, not into documents. The message never repeats what was found."""
    hint = "declare it as a secret of a service account; and change it, if it was ever shared"
    texts = [*_texts(pipeline)]
    for name, stage in pipeline.stages.items():
        texts += [(("stages", name, "script"), stage.script)] if stage.script else []
        texts += [(("stages", name, "run", i), word) for i, word in enumerate(stage.run)]
    texts += [(("parameters", name, "default"), p.default) for name, p in pipeline.parameters.items() if p.default]
    for path, text in texts:
        named = str(path[1]) if path[0] in ("environment", "parameters") else ""
        kind = next((what for what, shape in _SECRETS.items() if shape.search(text)), "")
        if kind:
            yield Remark("pasted-secret", path, f"this looks like {kind}", hint)
        elif _SECRET_NAME.search(named) and not _ABOUT.search(named) and _literal(text):
            yield Remark("pasted-secret", path, f"{named} looks like a secret, given in plain text", hint)
        elif named and _random(text):
            yield Remark("pasted-secret", path, f"{named} looks like a random key", hint, WARNING)


def _literal(text: str) -> bool:
    return len(text) >= 4 and "${" not in text and "/" not in text[:1] and not text.isdigit()


def _random(text: str) -> bool:
    """Long, of many kinds of signs, and no word or path: as keys are."""
    if not re.fullmatch(r"[A-Za-z0-9+/=_-]{32,}", text) or text.count("/") > 2:
        return False
    counts = Counter(text)
    entropy = -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values())
    return entropy > 4.2 and any(c.isdigit() for c in text) and any(c.isupper() for c in text)
