"""Every code that lint has: a document with the mistake has the finding at its place; the mended one has not."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

import pytest

from backend.spec.bundle import LARGEST
from backend.spec.finding import Finding, Severity
from backend.spec.lint import CODES, Other, Surroundings, lint
from backend.spec.model import Stage
from tests.unit.spec.documents import GONE, GOOD, Changes, at, changed, text

AROUND = Surroundings(
    missing={"r": "this machine has no Rscript"},
    code={"clean.py": 10, "sql/x.sql": 10},
    others={"regions": Other(("table",), {"load": Stage(image="shell", script="true", outputs={"table": "table"})})},
    accounts=("analytics",),
    missing_secrets={"analytics": ("api-token",)},
    channels=frozenset({"oncall"}),
    executor="sandbox",
)
SECRET = "AKIA" + "ABCDEFGHIJKLMNOP"  # shaped like a key, and none


class Case(NamedTuple):
    """A mistake: how a good document is spoilt and how it is mended, where it is found, and what is said."""

    code: str
    bad: Changes
    good: Changes
    path: str
    words: str  # a pattern in message and suggestion


CASES = [
    # the schema
    Case("unknown-key", {"stages.a.imgae": "x"}, {}, "$.stages.a.imgae", "'imgae' is not known here .*'image'"),
    Case("unknown-key", {"colour": "red"}, {}, "$.colour", "known here: .*stages"),
    Case("missing-key", {"stages": GONE}, {}, "$", '"stages" is missing'),
    Case("wrong-type", {"stages.a.image": 3}, {}, "$.stages.a.image", r"image is a number \(3\); it must be text"),
    Case("wrong-type", {"stages.a.run": "ls"}, {}, "$.stages.a.run", "it must be a list"),
    Case("wrong-type", {"stages.b.inputs": "mid"}, {}, "$.stages.b.inputs", "must be a list of artifacts"),
    Case("bad-name", {"name": "Weekly Learners"}, {"name": "weekly-learners"}, "$.name", "cannot be a name .*small"),
    Case("bad-name", {"outputs.Out": {}}, {}, "$.outputs.Out", "'Out' cannot be a name"),
    Case("bad-name", {"stages.a.uses": "regions"}, {}, "$.stages.a.uses", "must be pipeline/stage"),
    Case("bad-value", {"stages.b.retries": {"limit": -1}}, {}, "$.stages.b.retries.limit", "0 or more"),
    Case("bad-value", {"concurrency": {"limit": 1, "when_full": "wait"}}, {"concurrency": {"limit": 1}},
         "$.concurrency.when_full", "must be one of queue, skip, replace"),
    Case("bad-value", {"stages": {}}, {}, "$.stages", "must not be empty"),
    Case("wrong-type", {"cache": "yes"}, {"cache": False}, "$.cache", "it must be true or false"),
    Case("never-reused", {"cache": True, "environment.RUN": "${run.id}"}, {"environment.RUN": "${run.id}"},
         "$.environment.RUN", r"never the same twice \(\$\{run.id\}\)"),
    Case("never-reused", {"stages.a.cache": True, "environment.TRY": "${run.attempt}"},
         {"cache": True, "environment.TRY": "${date}"}, "$.environment.TRY", "a is cached, and never reused"),
    # durations and quantities
    Case("bad-duration", {"stages.a.timeout": "soon"}, {"stages.a.timeout": "20m"}, "$.stages.a.timeout", "soon"),
    Case("bad-duration", {"outputs.out": {"keep": "90 moons"}}, {"outputs.out": {"keep": "90d"}},
         "$.outputs.out.keep", "moons"),
    Case("bad-quantity", {"stages.a.resources": {"memory": "lots"}}, {"stages.a.resources": {"memory": "512Mi"}},
         "$.stages.a.resources.memory", "lots"),
    Case("bad-quantity", {"stages.a.resources": {"cpu": "1x"}}, {"stages.a.resources": {"cpu": "500m"}},
         "$.stages.a.resources.cpu", "1x"),
    # artifacts
    Case("declared-twice", {"outputs.mid": {}}, {}, "$.outputs.mid", "among the intermediates as well"),
    Case("undeclared-artifact", {"stages.b.inputs": ["midd"]}, {}, "$.stages.b.inputs[0]", "did you mean 'mid'"),
    Case("undeclared-artifact", {"stages.b.inputs": {"m": "zzz"}}, {"stages.b.inputs": {"m": "mid"}},
         "$.stages.b.inputs.m", "'zzz' is not declared .*declare it"),
    Case("never-written", {"stages.a.outputs": GONE}, {}, "$.intermediates.mid", "no stage writes 'mid'"),
    Case("written-twice", {"stages.b.outputs": ["out", "mid"]}, {}, "$.stages.b.outputs[1]", "written by a and b"),
    Case("writes-input", {"inputs": {"raw": {"uri": "file:///r"}}, "stages.a.outputs": ["mid", "raw"]}, {},
         "$.stages.a.outputs[1]", "'raw' is an input"),
    Case("never-read", {"stages.b.inputs": GONE}, {}, "$.intermediates.mid", "no stage reads 'mid'"),
    Case("unused-input", {"inputs": {"raw": {"uri": "file:///r"}}},
         {"inputs": {"raw": {"uri": "file:///r"}}, "stages.a.inputs": ["raw"]}, "$.inputs.raw", "no stage reads"),
    Case("reads-itself", {"stages.a.inputs": ["mid"]}, {}, "$.stages.a.inputs[0]", "which it writes itself"),
    Case("bad-input", {"inputs": {"raw": {}}, "stages.a.inputs": ["raw"]},
         {"inputs": {"raw": {"from": "regions/table"}}, "stages.a.inputs": ["raw"]}, "$.inputs.raw", "uri or a from"),
    Case("bad-uri", {"outputs.out": {"uri": "/srv/out"}}, {"outputs.out": {"uri": "file:///srv/out"}},
         "$.outputs.out.uri", "has no scheme .*file:///srv/out"),
    Case("bad-uri", {"outputs.out": {"uri": "file://srv/out"}}, {"outputs.out": {"uri": "file:///srv/${date}"}},
         "$.outputs.out.uri", "is relative"),
    Case("bad-uri", {"outputs.out": {"uri": "fiel:///srv/out"}}, {}, "$.outputs.out.uri", "did you mean 'file'"),
    Case("bad-uri", {"outputs.out": {"uri": "s3:///out"}}, {"outputs.out": {"uri": "s3://b/out"}},
         "$.outputs.out.uri", "names no bucket"),
    Case("unwritable-uri", {"outputs.out": {"uri": "https://h/out"}}, {"outputs.out": {"uri": "gs://b/${date}"}},
         "$.outputs.out.uri", "nothing can be written"),
    Case("unknown-pipeline", {"inputs": {"raw": {"from": "region/table"}}, "stages.a.inputs": ["raw"]},
         {"inputs": {"raw": {"from": "regions/table"}}, "stages.a.inputs": ["raw"]},
         "$.inputs.raw.from", "no pipeline 'region' yet .*'regions'"),
    Case("unknown-pipeline", {"inputs": {"raw": {"from": "p/out"}}, "stages.a.inputs": ["raw"]}, {},
         "$.inputs.raw.from", "its own latest output"),
    Case("unknown-output", {"inputs": {"raw": {"from": "regions/tabel"}}, "stages.a.inputs": ["raw"]}, {},
         "$.inputs.raw.from", "has no output 'tabel' .*'table'"),
    # code
    Case("code-outside", {"code": ["../clean.py"]}, {"code": ["clean.py"]}, "$.code[0]", "outside of the document"),
    Case("code-outside", {"code": ["/etc/passwd"]}, {}, "$.code[0]", "outside of the document"),
    Case("code-missing", {"code": ["clean.py", "claen.py"]}, {"code": ["clean.py", "sql/"]}, "$.code[1]", "'clean.py'"),
    Case("code-unlisted", {"stages.b.run": ["python3", "clean.py"]},
         {"stages.b.run": ["python3", "clean.py"], "code": ["clean.py"]}, "$.stages.b.run[1]", "not among the code"),
    # environment
    Case("bad-variable", {"environment": {"MY-DAY": "x"}}, {"environment": {"MY_DAY": "x"}},
         "$.environment.MY-DAY", "letters, digits and _"),
    Case("bad-variable", {"environment": {"KHAN_RUN": "x"}}, {}, "$.environment.KHAN_RUN", "Khantui's own"),
    Case("bad-interpolation", {"environment": {"D": "${date - 7 fortnights}"}}, {"environment": {"D": "${date - 7d}"}},
         "$.environment.D", "fortnights"),
    Case("bad-interpolation", {"environment": {"D": "${date"}}, {"environment": {"D": "$${date"}},
         "$.environment.D", "."),
    Case("bad-interpolation", {"environment": {"D": "${date - 9999y}"}}, {}, "$.environment.D", "."),
    Case("undeclared-variable", {"environment": {"D": "${dtae}"}}, {"environment": {"D": "${date}"}},
         "$.environment.D", r"\$\{dtae\} names nothing .*'date'"),
    Case("undeclared-variable", {"outputs.out": {"uri": "file:///${parameters.x}"}},
         {"outputs.out": {"uri": "file:///${parameters.x}"}, "parameters": {"x": {"default": "1"}}},
         "$.outputs.out.uri", "parameters.x"),
    Case("variable-cycle", {"environment": {"A": "${B}", "B": "${C}", "C": "${A}"}},
         {"environment": {"A": "${B}", "B": "${C}", "C": "1"}}, "$.environment.A", "A → B → C → A"),
    Case("unused-parameter", {"parameters": {"x": {"default": "1"}}},
         {"parameters": {"x": {"default": "1"}}, "environment": {"X": "${parameters.x}"}},
         "$.parameters.x", r'nothing refers to .*"X": "\$\{parameters.x\}"'),
    Case("bad-default", {"parameters": {"x": {"default": "ue", "choices": ["eu", "us"]}}},
         {"parameters": {"x": {"default": "eu", "choices": ["eu", "us"]}}}, "$.parameters.x.default", "known: eu, us"),
    Case("pasted-secret", {"environment": {"DB_PASSWORD": "hunter2!"}}, {"environment": {"DB_USER": "ann"}},
         "$.environment.DB_PASSWORD", "in plain text .*service account"),
    Case("pasted-secret", {"environment": {"X": SECRET}}, {}, "$.environment.X", "an AWS access key"),
    Case("pasted-secret", {"stages.a.script": f"export K={SECRET}"}, {}, "$.stages.a.script", "an AWS access key"),
    Case("pasted-secret", {"outputs.out": {"uri": "https://ann:pa55word@x.org/"}}, {}, "$.outputs.out.uri", "password"),
    Case("pasted-secret", {"environment": {"X": "q7Zk2LmX9vB4nR8tY1wC6pD3sF5gH0jA"}}, {}, "$.environment.X", "random"),
    # stages
    Case("missing-image", {"stages.a.image": GONE}, {}, "$.stages.a", '"image": "python"'),
    Case("unknown-image", {"stages.b.image": "pyhton"}, {}, "$.stages.b.image", "'pyhton' did you mean 'python'"),
    Case("image-unavailable", {"stages.b.image": "r"}, {}, "$.stages.b.image", "no Rscript"),
    Case("image-unavailable", {"stages.b.image": "ghcr.io/x/y:1"}, {}, "$.stages.b.image", "Kubernetes"),
    Case("nothing-to-run", {"stages.a.script": GONE}, {}, "$.stages.a", "runs nothing"),
    Case("run-and-script", {"stages.b.script": "1"}, {}, "$.stages.b.script", "not both"),
    Case("shell-in-run", {"stages.b.run": ["cat a | wc"]}, {"stages.b.run": ["cat", "a"]}, "$.stages.b.run", "shell"),
    Case("cycle", {"intermediates.back": {}, "stages.a.inputs": ["back"], "stages.b.outputs": ["out", "back"]}, {},
         "$.stages.a", "a → b → a"),
    Case("cycle", {"stages.a.after": ["b"]}, {"stages.b.after": ["a"]}, "$.stages.a", "a → b → a"),
    Case("unknown-stage", {"stages.b.after": ["aa"]}, {"stages.b.after": ["a"]}, "$.stages.b.after[0]", "'a'"),
    Case("unknown-stage", {"stages.a": {"uses": "regions/laod", "outputs": ["mid"]}},
         {"stages.a": {"uses": "regions/load", "outputs": {"table": "mid"}}}, "$.stages.a.uses", "did you mean 'load'"),
    Case("unknown-pipeline", {"stages.a": {"uses": "region/load", "outputs": ["mid"]}}, {}, "$.stages.a.uses",
         "regions"),
    Case("never-starts", {"stages.a.outputs": GONE}, {}, "$.stages.b", "it can never start: nobody writes mid"),
    Case("never-starts", {"stages.a.after": ["a"]}, {}, "$.stages.a.after[0]", "waits for itself"),
    Case("bad-each", {"stages.b.each": {"YEAR": []}}, {"stages.b.each": {"YEAR": ["2025"]}},
         "$.stages.b.each.YEAR", "empty|no values"),
    Case("bad-each", {"stages.b.each": {"YEAR": ["1", "1"]}}, {}, "$.stages.b.each.YEAR[1]", "twice"),
    Case("bad-each", {"stages.b.each": {"YEAR": ["a/b"]}}, {}, "$.stages.b.each.YEAR[0]", "part of a name"),
    Case("bad-each", {"stages.b.each": {"MY-YEAR": ["1"]}}, {}, "$.stages.b.each.MY-YEAR", "a variable's name"),
    Case("bad-each", {"stages.b.each": {"X": ["1"]}, "environment": {"X": "2"}}, {}, "$.stages.b.each.X", "as well"),
    Case("bad-each", {"stages.b.each": {"X": ["1.2", "1"], "Y": ["3", "2.3"]}},
         {"stages.b.each": {"X": ["12", "1"], "Y": ["3", "23"]}}, "$.stages.b.each", r"two instances are b.1.2.3"),
    Case("bad-each", {"stages.b.each": {v: ["x" * 60] for v in "ABCD"}}, {}, "$.stages.b.each", "200 are the most"),
    Case("bad-each", {"stages.b.each": {"KHAN_X": ["1"]}}, {}, "$.stages.b.each.KHAN_X", "Khantui's own"),
    Case("nul", {"stages.b.run": ["ls", "a\0b"]}, {}, "$.stages.b.run[1]", "NUL"),
    Case("too-wide", {"stages.b.each": {"X": [*map(str, range(100))], "Y": [*map(str, range(100))]}},
         {"stages.b.each": {"X": [*map(str, range(100))]}}, "$.stages.b.each", "5,000 are the most"),
    Case("senseless-retries", {"stages.a.retries": {"limit": 51, "delay": "1s"}},
         {"stages.a.retries": {"limit": 3, "delay": "1s"}}, "$.stages.a.retries.limit", "50 are the most"),
    Case("senseless-retries", {"stages.a.retries": {"limit": 10}}, {}, "$.stages.a.retries", "hammer"),
    Case("senseless-retries", {"stages.a.retries": {"delay": "1s"}}, {}, "$.stages.a.retries", "no retries"),
    Case("senseless-retries", {"stages.a.retries": {"limit": 1, "delay": "2h", "max_delay": "1h"}}, {},
         "$.stages.a.retries.max_delay", "shorter than the first"),
    Case("senseless-retries", {"stages.a.retries": {"limit": 1, "delay": "1s", "backoff": 0.5}}, {},
         "$.stages.a.retries.backoff", "shorter than the one before"),
    Case("senseless-timeout", {"stages.a.timeout": "0s"}, {}, "$.stages.a.timeout", "killed at once"),
    Case("senseless-timeout", {"timeout": "400d"}, {"timeout": "4d"}, "$.timeout", "30d"),
    Case("senseless-timeout", {"timeout": "1h", "stages.a.timeout": "2h"}, {}, "$.stages.a.timeout", "whole run"),
    Case("senseless-resources", {"stages.a.resources": {"memory": "512"}}, {}, "$.stages.a.resources.memory", "512Mi"),
    Case("senseless-resources", {"stages.a.resources": {"cpu": "0"}}, {}, "$.stages.a.resources.cpu", "500m"),
    Case("queue-without-limit", {"concurrency": {"when_full": "skip"}}, {"concurrency": {"limit": 1}},
         "$.concurrency", '"limit": 1'),
    Case("needs-parameters", {"parameters": {"x": {}}, "environment": {"X": "${parameters.x}"}},
         {"parameters": {"x": {"default": ""}}, "environment": {"X": "${parameters.x}"}}, "$.parameters.x", "default"),
    Case("unknown-account", {"service_account": "analytisc"}, {"service_account": "analytics"},
         "$.service_account", "did you mean 'analytics'"),
    Case("missing-secret", {"service_account": "analytics"}, {},
         "$.service_account", "analytics declares the secret 'api-token', .*khantui secrets set api-token"),
    Case("unknown-channel", {"notify": {"failed": ["oncal"]}}, {"notify": {"failed": ["oncall"]}}, "$.notify.failed[0]",
         "no channel 'oncal'.*did you mean 'oncall'"),
    Case("kubernetes-ignored", {"stages.a.kubernetes": {"priority_class": "high"}}, {}, "$.stages.a.kubernetes",
         "takes no notice"),
    Case("bad-kubernetes", {"kubernetes": {"node_selector": {"disk": "fast ssd"}}},
         {"kubernetes": {"node_selector": {"disk": "ssd"}}}, "$.kubernetes.node_selector.disk", "label's value"),
    Case("bad-kubernetes", {"kubernetes": {"labels": {"_team": "x"}}}, {"kubernetes": {"labels": {"x.org/team": "x"}}},
         "$.kubernetes.labels._team", "cannot be a name"),
    Case("bad-kubernetes", {"kubernetes": {"image_pull_secrets": ["My Secret"]}}, {},
         "$.kubernetes.image_pull_secrets[0]", "small letters"),
    Case("bad-kubernetes", {"kubernetes": {"tolerations": [{"key": "gpu", "for": "5m"}]}},
         {"kubernetes": {"tolerations": [{"key": "gpu", "effect": "NoExecute", "for": "5m"}]}},
         "$.kubernetes.tolerations[0].for", "NoExecute"),
]  # fmt: skip


def findings(document: dict[str, Any], around: Surroundings = AROUND) -> list[Finding]:
    return lint(text(document), surroundings=around).findings


def test_the_good_document_is_good() -> None:
    report = lint(text(GOOD), surroundings=AROUND)
    assert report.ok
    assert not report.findings


@pytest.mark.parametrize("case", CASES, ids=[f"{c.code}-{c.path}-{i}" for i, c in enumerate(CASES)])
def test_a_mistake_is_found_and_its_mending_too(case: Case) -> None:
    source = text(changed(case.bad))
    found = [f for f in lint(source, surroundings=AROUND).findings if f.code == case.code and f.path == case.path]
    assert found, lint(source, surroundings=AROUND).findings
    assert re.search(case.words, f"{found[0].message} {found[0].suggestion}"), found[0]
    assert _points_at(source, found[0])
    assert case.code not in {f.code for f in findings(changed(case.good))}


def _points_at(source: str, found: Finding) -> bool:
    """Whether the position is that of the path's key, or of its value."""
    rest = at(source, found.line, found.column)
    parts = re.findall(r"[^.\[\]$]+", found.path)
    key = next((p for p in reversed(parts) if not p.isdigit()), "")
    value: Any = json.loads(source)
    for part in parts:
        value = value[int(part)] if isinstance(value, list) else value.get(part, {})
    return rest.startswith((json.dumps(key), json.dumps(value, ensure_ascii=False)[:1]))


def test_some_labels_are_not_for_pipelines_to_give() -> None:
    document = changed({"kubernetes": {"labels": {"khantui.dev/run": "x"}, "annotations": {"batch.k8s.io/y": "z"}}})
    found = findings(document, Surroundings())
    assert [f.message for f in found] == [
        f"names of {d} are not for pipelines to give" for d in ("khantui.dev", "batch.k8s.io")
    ]


def test_hosts_by_name_are_told_of_where_stages_run_on_kubernetes() -> None:
    around = Surroundings(accounts=("web",), named_hosts={"web": ("api.example.org:443",)}, executor="kubernetes")
    (found,) = findings(changed({"service_account": "web"}), around)
    assert (found.code, found.path, found.severity) == ("wide-network", "$.service_account", Severity.WARNING)
    assert "(api.example.org:443)" in found.message
    assert not findings(changed({"service_account": "web"}), Surroundings(accounts=("web",), executor="kubernetes"))


def test_code_that_is_too_large() -> None:
    around = Surroundings(code={"clean.py": 10, "data.csv": LARGEST})
    (found,) = findings(changed({"code": ["clean.py", "data.csv"]}), around)
    assert (found.code, found.path) == ("code-too-large", "$.code")
    assert "data.csv the largest" in found.message


def test_a_secret_is_not_repeated() -> None:
    report = findings(changed({"environment": {"X": SECRET}}))
    assert SECRET not in repr(report)


def test_what_is_not_known_is_not_judged() -> None:
    document = changed({
        "code": ["anything.py"], "service_account": "someone", "inputs": {"raw": {"from": "far/away"}},
        "stages.a.inputs": ["raw"], "stages.c": {"uses": "far/stage"},
    })  # fmt: skip
    assert not findings(document, Surroundings())


@pytest.mark.parametrize(
    ("code", "source", "words"),
    [
        ("syntax", '{"name": "p"⟪, }', "one too many"),
        ("syntax", '{"name": "p", "x": [1⟪,]}', "one too many"),
        ("syntax", '{"name": "p"⟪ "stages": {}}', "a comma is missing"),
        ("syntax", "{⟪// why\n}", "no comments"),
        ("syntax", "{⟪'name': 1}", "double quotes"),
        ("syntax", "{⟪name: 1}", "in quotes"),
        ("syntax", '{"name": ⟪True}', "JSON writes true"),
        ("syntax", '{"name": ⟪NaN}', "NaN"),
        ("syntax", '{"name": "p"⟪', 'no closing "}"'),
        ("syntax", '{"name": ⟪"p', "closing quote"),
        ("syntax", '{"name": ⟪"a\\q"}', "backslash"),
        ("syntax", "⟪", "empty"),
        ("syntax", '{"name": "p"}\n⟪{}', "behind the end"),
        ("syntax", '{"name": [1⟪}', '"]" was expected'),
        ("syntax", "[" * 41 + "⟪" + "[" * 900, "deep"),
        ("duplicate-key", '{"name": "p",\n ⟪"name": "q"}', "here twice; the first is in line 1"),
        ("wrong-type", "⟪[]", "must be an object"),
    ],
)
def test_what_is_no_json_is_said_with_its_place(code: str, source: str, words: str) -> None:
    before, _, after = source.partition("⟪")
    found = next(f for f in lint(before + after).findings if f.code == code)
    place = (before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
    assert words in f"{found.message} {found.suggestion}"
    assert (found.line, found.column) == place
    assert found.severity is Severity.ERROR


def test_a_byte_order_mark_and_windows_line_ends_are_no_matter() -> None:
    source = "\ufeff" + text(GOOD).replace("\n", "\r\n")
    assert lint(source).ok
    (found,) = lint("\ufeff" + text(changed({"stages.a.image": "shel"})).replace("\n", "\r\n")).findings
    assert (found.code, found.line) == ("unknown-image", 11)


def test_all_mistakes_are_found_at_once() -> None:
    document = changed({"stages.a.image": "shel", "stages.b.timeout": "0s", "environment": {"D": "${dtae}"}})
    assert {f.code for f in findings(document)} == {"unknown-image", "senseless-timeout", "undeclared-variable"}


def test_every_code_has_a_case() -> None:
    tried = {c.code for c in CASES} | {"syntax", "duplicate-key", "code-too-large", "wide-network"}
    assert tried == set(CODES)
