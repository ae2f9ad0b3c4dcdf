"""Sessions of whatever members wrote, as JSON and as every database can store it."""

import json
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from gpuspawner.ledger.models import clean
from gpuspawner.ledger.records import Session

TEXTS = st.text(st.characters())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
ZONES = st.sampled_from([UTC, ZoneInfo("Asia/Kolkata")])
TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=ZONES)  # noqa: DTZ001
PLAIN = st.text(st.characters(codec="utf-8"))
SESSIONS = st.builds(
    Session,
    **dict.fromkeys(("id", "hub", "user", "server", "workspace", "profile", "image"), PLAIN),
    options=st.dictionaries(PLAIN, st.integers() | PLAIN),
    gpu_classes=st.lists(PLAIN).map(tuple),
    cpu=st.floats(0, 1000),
    price=st.dictionaries(PLAIN, st.integers()),
    opened=TIMES,
    started=st.none() | TIMES,
    ended=st.none() | TIMES,
    gpu_class=st.none() | PLAIN,
    cause=st.none() | PLAIN,
)


@given(SESSIONS)
def test_a_session_is_the_same_after_a_round_through_json(session: Session) -> None:
    assert Session.load(json.loads(json.dumps(session.dump()))) == session


@given(SESSIONS)
def test_keys_that_a_newer_version_wrote_are_passed_over(session: Session) -> None:
    assert Session.load({**session.dump(), "colour": "blue"}) == session


@given(JSON)
def test_whatever_is_stored_can_be_stored_everywhere(value: Any) -> None:
    stored = clean(value)
    written = json.dumps(stored, allow_nan=False, ensure_ascii=False)
    assert "\0" not in written
    assert "\\u0000" not in json.dumps(stored).replace("\\\\", "")
    written.encode()


@given(JSON)
def test_what_has_been_made_storable_stays_as_it_is(value: Any) -> None:
    assert clean(clean(value)) == clean(value)
