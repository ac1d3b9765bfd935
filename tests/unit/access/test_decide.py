"""The one place that decides: what holds for whom, on what, and why."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.access.decide import OWNER, decide, decide_anywhere, grants_of
from backend.access.model import (
    ROLES,
    ApiToken,
    Binding,
    Principal,
    Target,
    checked_labels,
    checked_pattern,
    checked_subject,
)
from backend.access.verbs import ON_ALL, ON_PIPELINES, role_for
from backend.access.words import said
from backend.errors import InvalidRequest

ANN = Principal("ann@example.org", groups=frozenset({"sales"}))
SALES = Target("sales-eu", {"team": "sales", "tier": "1"})
PAYROLL = Target("payroll", {"team": "people"})


@pytest.mark.parametrize(
    ("binding", "sales", "payroll", "everywhere"),
    [
        (Binding("user:ann@example.org", "editor"), "editor", "editor", "editor"),
        (Binding("group:sales", "editor"), "editor", "editor", "editor"),
        (Binding("everyone", "editor"), "editor", "editor", "editor"),
        (Binding("user:bob@example.org", "editor"), "anyone", "anyone", "anyone"),
        (Binding("group:people", "editor"), "anyone", "anyone", "anyone"),
        (Binding("token:ann@example.org", "editor"), "anyone", "anyone", "anyone"),
        (Binding("group:sales", "editor", "sales-*"), "editor", "anyone", "anyone"),
        (Binding("group:sales", "editor", "sales-e?"), "editor", "anyone", "anyone"),
        (Binding("group:sales", "editor", "sales"), "anyone", "anyone", "anyone"),
        (Binding("group:sales", "editor", "*roll"), "anyone", "editor", "anyone"),
        (Binding("group:sales", "editor", labels={"team": "sales"}), "editor", "anyone", "anyone"),
        (Binding("group:sales", "editor", labels={"team": "sales", "tier": "2"}), "anyone", "anyone", "anyone"),
        (Binding("group:sales", "editor", "pay*", {"team": "sales"}), "anyone", "anyone", "anyone"),
    ],
)
def test_a_binding_holds_for_its_subject_on_its_pipelines(
    binding: Binding, sales: str, payroll: str, everywhere: str
) -> None:
    grants = grants_of(ANN, [binding])
    assert [decide(grants, "viewer", on).role for on in (SALES, PAYROLL, None)] == [sales, payroll, everywhere]


def test_the_strongest_counts_and_is_the_reason() -> None:
    weak, strong = Binding("everyone", "viewer"), Binding("group:sales", "operator", "sales-*")
    grants = grants_of(ANN, [weak, strong])
    decision = decide(grants, "operator", SALES)
    assert decision.allowed
    assert decision.because is not None
    assert decision.because.binding == strong
    assert said(ANN, "run", SALES, decision) == (
        f"ann@example.org may run sales-eu: operator of pipelines sales-*, as group:sales, binding {strong.id}"
    )
    assert "it takes the role operator, and theirs is viewer of all pipelines, as everyone" in said(
        ANN, "run", PAYROLL, decide(grants, "operator", PAYROLL)
    )
    assert decide_anywhere(grants, "operator").allowed
    assert not decide_anywhere(grants, "editor").allowed


def test_what_is_bound_to_everyone_is_not_for_tokens() -> None:
    token = ApiToken("ci", "", "operator", "sales-*")
    grants = grants_of(
        Principal("ci", "token"), [Binding("everyone", "admin"), Binding("user:ci", "admin")], token.binding
    )
    assert [decide(grants, "viewer", on).role for on in (SALES, PAYROLL, None)] == ["operator", "anyone", "anyone"]
    more = grants_of(Principal("ci", "token"), [Binding("token:ci", "viewer")], token.binding)
    assert decide(more, "viewer", PAYROLL).allowed


def test_an_owner_may_do_everything_and_whoever_has_nothing_may_do_nothing() -> None:
    owner = grants_of(Principal("root", owner=True), [])
    assert owner[0].binding == OWNER
    assert all(decide(owner, role, on).allowed for role in ROLES for on in (SALES, None))
    assert [role for role in ROLES if decide((), role, SALES).allowed] == ["anyone"]


NAMES = st.sampled_from(["sales-eu", "sales-us", "payroll", "people"])
LABELS = st.dictionaries(st.sampled_from(["team", "tier"]), st.sampled_from(["1", "2"]), max_size=2)
BINDINGS = st.lists(
    st.builds(
        Binding,
        st.sampled_from(["everyone", "user:ann@example.org", "group:sales", "user:eve", "group:x", "token:ci"]),
        st.sampled_from(ROLES[1:]),
        st.sampled_from(["", "sales-*", "p*", "payroll"]),
        LABELS,
    ),
    max_size=6,
)


@given(BINDINGS, NAMES, LABELS, st.sampled_from(ROLES))
def test_what_is_allowed_is_allowed_by_some_binding_and_by_less_than_is_there(
    bindings: list[Binding], name: str, labels: dict[str, str], needed: Any
) -> None:
    target = Target(name, labels)
    allowed = decide(grants_of(ANN, bindings), needed, target).allowed
    mine = [b for b in bindings if b.subject in ("everyone", ANN.subject, "group:sales") and b.covers(target)]
    assert allowed == (needed == "anyone" or any(ROLES.index(b.role) >= ROLES.index(needed) for b in mine))
    if decide(grants_of(ANN, bindings), needed, None).allowed:  # what is had everywhere is had here
        assert allowed
    assert not allowed or decide_anywhere(grants_of(ANN, bindings), needed).allowed
    lower = ROLES[max(ROLES.index(needed) - 1, 0)]
    assert not allowed or decide(grants_of(ANN, bindings), lower, target).allowed
    assert not decide(grants_of(ANN, bindings[:-1]), needed, target).allowed or allowed  # more takes nothing away


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Ann@Example.org", "user:ann@example.org"),
        ("user:Ann@example.org", "user:ann@example.org"),
        (" group:Analysts ", "group:Analysts"),
        ("user:unix:ann", "user:unix:ann"),
        ("everyone", "everyone"),
    ],
)
def test_subjects(text: str, kept: str) -> None:
    assert checked_subject(text) == kept


@pytest.mark.attack
@pytest.mark.parametrize(
    "text", ["", "ann", "role:x", "user:", "group:a\nb", "user: ann", "token:\x00", "user:" + "a" * 300]
)
def test_what_is_nobody_gets_no_role(text: str) -> None:
    with pytest.raises(InvalidRequest):
        checked_subject(text)


@pytest.mark.attack
@pytest.mark.parametrize("pattern", ["[a-z]*", "../*", "a b", "A*", "x" * 101, "a/b", "\x00"])
def test_what_fits_no_name_is_no_pattern(pattern: str) -> None:
    with pytest.raises(InvalidRequest):
        checked_pattern(pattern)


def test_patterns_labels_and_verbs() -> None:
    assert (checked_pattern("*"), checked_pattern("sales-*")) == ("", "sales-*")
    with pytest.raises(InvalidRequest):
        checked_labels({"a=b": "c"})
    assert all(role_for(verb) in ROLES for verb in (*ON_PIPELINES, *ON_ALL))
    with pytest.raises(InvalidRequest, match="there is no verb"):
        role_for("fly")


def test_to_bind_twice_is_to_bind_once() -> None:
    one = Binding("everyone", "viewer", labels={"a": "1", "b": "2"}, created_by="ann")
    other = Binding("everyone", "viewer", labels={"b": "2", "a": "1"}, created_by="bob")
    assert one.id == other.id
    assert one.id != Binding("everyone", "viewer").id
