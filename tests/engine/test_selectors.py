"""Label and field selectors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuspawner.local.apiserver.selectors import matches_labels, parse_fields, parse_labels
from gpuspawner.local.apiserver.status import StatusError

LABELS = {"app": "demo", "user": "alice", "size": "10", "empty": "", "example.org/tier": "gold"}


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("", True),
        ("app=demo", True),
        ("app==demo,user=alice", True),
        ("app=other", False),
        ("app!=other", True),
        ("missing!=x", True),
        ("missing", False),
        ("!missing", True),
        ("app", True),
        ("!app", False),
        ("user in (alice,bob)", True),
        ("user in (bob)", False),
        ("user notin (bob, carol)", True),
        ("missing notin (a)", True),
        ("missing in (a)", False),
        ("size>9", True),
        ("size>10", False),
        ("size<11,size>9", True),
        ("app>1", False),
        ("empty=", True),
        ("empty in (,x)", True),
        ("example.org/tier=gold", True),
        (" app = demo , user in ( alice ) ", True),
    ],
)
def test_a_label_selector_selects(selector: str, expected: bool) -> None:
    assert matches_labels(parse_labels(selector), LABELS) is expected


@pytest.mark.parametrize(
    "selector", ["app=demo,", "=x", "a in b", "a in (b", "a>x", "a b", "_a=1", "a=b=c", "a=-", "(a)"]
)
def test_a_label_selector_that_is_none_is_refused(selector: str) -> None:
    with pytest.raises(StatusError) as refused:
        parse_labels(selector)
    assert refused.value.status == 400
    assert "unable to parse requirement" in refused.value.message


WORDS = st.text("abcXYZ019", min_size=1, max_size=5)


@given(labels=st.dictionaries(WORDS, WORDS, max_size=4), key=WORDS, values=st.lists(WORDS, min_size=1, max_size=4))
def test_in_and_notin_are_opposites_and_equality_is_in_of_one(
    labels: dict[str, str], key: str, values: list[str]
) -> None:
    def selects(selector: str) -> bool:
        return matches_labels(parse_labels(selector), labels)

    listed = ",".join(values)
    assert selects(f"{key} in ({listed})") is (labels.get(key) in values)
    assert selects(f"{key} notin ({listed})") is not selects(f"{key} in ({listed})")
    assert selects(f"{key}={values[0]}") is selects(f"{key} in ({values[0]})")
    assert selects(f"{key}!={values[0]}") is not selects(f"{key}={values[0]}")
    assert selects(f"!{key}") is not selects(key)


POD = {
    "metadata": {"name": "alice", "namespace": "demo"},
    "spec": {"nodeName": "n1", "restartPolicy": "Never"},
    "status": {"phase": "Running", "podIP": "127.1.2.3"},
}


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("status.phase=Running", True),
        ("status.phase!=Running", False),
        ("status.phase!=Failed,status.phase!=Succeeded", True),
        ("metadata.name=alice,spec.nodeName=n1", True),
        ("metadata.namespace==other", False),
        ("status.nominatedNodeName=", True),
        ("spec.hostNetwork=false", True),
    ],
)
def test_a_field_selector_selects(selector: str, expected: bool) -> None:
    assert parse_fields("pods", selector)(POD) is expected


@pytest.mark.parametrize(("resource", "field"), [("pods", "spec.image"), ("configmaps", "status.phase")])
def test_a_field_that_is_not_offered_is_refused(resource: str, field: str) -> None:
    with pytest.raises(StatusError, match=f"field label not supported: {field}"):
        parse_fields(resource, f"{field}=x")


def test_an_event_is_selected_by_what_it_is_about() -> None:
    event = {"involvedObject": {"name": "alice", "kind": "Pod"}, "reason": "Scheduled", "type": "Normal",
             "reportingComponent": "default-scheduler", "source": {}}  # fmt: skip
    assert parse_fields("events", "involvedObject.name=alice,reason=Scheduled,source=default-scheduler")(event)
    assert parse_fields("events.events.k8s.io", "regarding.name=alice")(event)
