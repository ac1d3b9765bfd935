"""Artifacts: who writes what, who reads it, where it comes from and goes to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from backend.spec.model import Pipeline
from backend.spec.reader import Path
from backend.spec.rules.registry import WARNING, Remark, Surroundings, meant, open_ended, rule, stages

_WEB = ("http", "https")
_SCHEMES = ("file", "s3", "gs", "az", *_WEB)


def _kinds(pipeline: Pipeline) -> dict[str, Iterable[str]]:
    return {"inputs": pipeline.inputs, "intermediates": pipeline.intermediates, "outputs": pipeline.outputs}


def _declared(pipeline: Pipeline) -> dict[str, str]:
    kinds = _kinds(pipeline)
    return {name: kind for kind, names in kinds.items() for name in names}


def _writers(pipeline: Pipeline) -> dict[str, list[str]]:
    writers: dict[str, list[str]] = {}
    for _, name, stage in stages(pipeline):
        for artifact in stage.outputs.values():
            writers.setdefault(artifact, []).append(name)
    return writers


def _read(pipeline: Pipeline) -> set[str]:
    return {artifact for _, _, stage in stages(pipeline) for artifact in stage.inputs.values()}


@rule(declared_twice="A name that is declared as more than one kind of artifact.")
def declared_once(pipeline: Pipeline, _: Surroundings) -> Iterator[Remark]:
    """Each artifact is an input, an intermediate or an output."""
    seen: dict[str, str] = {}
    kinds = _kinds(pipeline)
    for kind, names in kinds.items():
        for name in names:
            if name in seen:
                message = f"{name!r} is among the {seen[name]} as well"
                yield Remark("declared-twice", (kind, name), message, "give one of them another name", key=True)
            seen.setdefault(name, kind)


@rule(undeclared_artifact="A stage reads or writes an artifact that the document does not declare.")
def declared(pipeline: Pipeline, _: Surroundings) -> Iterator[Remark]:
    """What stages read and write is declared."""
    known = _declared(pipeline)
    for path, _name, stage in stages(pipeline):
        for kind, artifacts in (("inputs", stage.inputs), ("outputs", stage.outputs)):
            for alias, artifact in artifacts.items():
                if artifact not in known:
                    close = meant(artifact, known) if known else ""
                    hint = close if close.startswith("did") else f'declare it: "intermediates": {{"{artifact}": {{}}}}'
                    yield Remark("undeclared-artifact", (*path, kind, alias), f"{artifact!r} is not declared", hint)


@rule(
    never_written="An intermediate or output that no stage writes.",
    written_twice="An artifact that two stages write.",
    writes_input="A stage writes what is declared as an input.",
)
def written(pipeline: Pipeline, _: Surroundings) -> Iterator[Remark]:
    """Each intermediate and output is written by one stage."""
    writers = _writers(pipeline)
    all_known = not open_ended(pipeline, "outputs")
    for kind, names in (("intermediates", pipeline.intermediates), ("outputs", pipeline.outputs)):
        for name in names:
            if name not in writers and all_known:
                message = f"no stage writes {name!r}"
                yield Remark("never-written", (kind, name), message, 'add it to the "outputs" of a stage', key=True)
    for artifact, who in writers.items():
        if artifact in pipeline.inputs:
            message = f"{artifact!r} is an input; stages cannot write it"
            yield Remark("writes-input", _listed(pipeline, who[0], artifact), message, "declare it as an output")
        if len(who) > 1:
            message = f"{artifact!r} is written by {' and '.join(who)}"
            place = _listed(pipeline, who[1], artifact)
            yield Remark("written-twice", place, message, "let each write an artifact of its own")


def _listed(pipeline: Pipeline, stage: str, artifact: str) -> Path:
    """Where a stage says that it writes an artifact; the last place, if it says so twice."""
    aliases = [alias for alias, written_one in pipeline.stages[stage].outputs.items() if written_one == artifact]
    return ("stages", stage, "outputs", aliases[-1])


@rule(
    never_read="An intermediate that no stage reads.",
    unused_input="An input that no stage reads.",
    reads_itself="A stage that reads what it writes.",
)
def read(pipeline: Pipeline, _: Surroundings) -> Iterator[Remark]:
    """What is there is there for something."""
    for path, _name, stage in stages(pipeline):
        written_here = set(stage.outputs.values())
        for alias, artifact in stage.inputs.items():
            if artifact in written_here:
                message = f"it reads {artifact!r}, which it writes itself"
                yield Remark("reads-itself", (*path, "inputs", alias), message, "let it read something else")
    if open_ended(pipeline, "inputs"):
        return
    readers = _read(pipeline)
    for name in pipeline.intermediates:
        if name not in readers:
            yield Remark("never-read", ("intermediates", name), f"no stage reads {name!r}",
                         "if it is a result, declare it under outputs", WARNING, key=True)  # fmt: skip
    for name in pipeline.inputs:
        if name not in readers:
            yield Remark("unused-input", ("inputs", name), f"no stage reads {name!r}", "delete it", WARNING, key=True)


@rule(
    bad_input="An input that says neither or both of uri and from.",
    bad_uri="An address that cannot be read or written.",
    unwritable_uri="An output's address where nothing can be written.",
)
def places(pipeline: Pipeline, _: Surroundings) -> Iterator[Remark]:
    """Where artifacts come from and go to."""
    for name, declared_input in pipeline.inputs.items():
        if bool(declared_input.uri) == bool(declared_input.from_):
            message = "an input has either a uri or a from"
            yield Remark("bad-input", ("inputs", name), message, '"uri": "file:///…" or "from": "pipeline/output"')
        if declared_input.uri:
            yield from _uri(("inputs", name, "uri"), declared_input.uri)
    for name, output in pipeline.outputs.items():
        if output.uri:
            yield from _uri(("outputs", name, "uri"), output.uri, written=True)


def _uri(path: Path, uri: str, *, written: bool = False) -> Iterable[Remark]:
    if uri.startswith("${") or uri.partition("://")[2].startswith("${"):
        return  # what it is shows only in a run
    try:
        parts = urlsplit(uri)
    except ValueError as error:
        yield Remark("bad-uri", path, f"this is no address: {error}", "file:///… with the whole path")
        return
    if not parts.scheme:
        hint = f"file://{uri}" if uri.startswith("/") else "file:///… with the whole path"
        yield Remark("bad-uri", path, f"{uri!r} has no scheme", hint)
    elif parts.scheme not in _SCHEMES:
        yield Remark(
            "bad-uri", path, f"{parts.scheme!r} is no kind of address that I know", meant(parts.scheme, _SCHEMES)
        )
    elif parts.scheme == "file" and (parts.netloc or not parts.path.startswith("/")):
        yield Remark(
            "bad-uri", path, "this is relative; the daemon has no folder of yours", "file:///… with the whole path"
        )
    elif parts.scheme != "file" and not parts.netloc:
        what = "host" if parts.scheme in _WEB else "bucket"
        yield Remark("bad-uri", path, f"{uri!r} names no {what}", f"{parts.scheme}://{what.upper()}/…")
    elif written and parts.scheme in _WEB:
        message = f"nothing can be written to {parts.scheme}://"
        yield Remark("unwritable-uri", path, message, "file://, s3://, gs:// or az://")


@rule(
    unknown_pipeline="`from` or `uses` names a pipeline that is not there.",
    unknown_output="`from` names an output that the other pipeline does not have.",
)
def others(pipeline: Pipeline, around: Surroundings) -> Iterator[Remark]:
    """What is read from other pipelines is there."""
    for name, declared_input in pipeline.inputs.items():
        where, _, output = declared_input.from_.partition("/")
        if not where:
            continue
        place = ("inputs", name, "from")
        if where == pipeline.name:
            message = "a pipeline cannot read its own latest output"
            yield Remark("unknown-pipeline", place, message, "pass it on as an intermediate")
        elif around.others is not None and where not in around.others:
            message = f"there is no pipeline {where!r} yet"
            yield Remark("unknown-pipeline", place, message, meant(where, around.others) or "apply it first", WARNING)
        elif around.others is not None and output not in around.others[where].outputs:
            message = f"{where} has no output {output!r}"
            yield Remark("unknown-output", place, message, meant(output, around.others[where].outputs))
