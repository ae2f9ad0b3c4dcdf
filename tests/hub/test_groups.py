"""The groups of all users are brought in line with the rules, as one by one."""

from datetime import date
from functools import cache
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from jupyterhub import orm
from sqlalchemy.orm import Session

from gpuspawner.config import load_settings
from gpuspawner.membership.groups import Groups, wanted_groups
from gpuspawner.membership.roster import parse_roster
from gpuspawner.membership.rules import Login

DAY = date(2026, 11, 21)
READ = {"people.csv": parse_roster(b"user,email,role\nada,,manager\nbob,,\n,eve@x.edu,\n")}
ADDRESSES = {"eve": frozenset({"eve@x.edu"})}
USERS = ["ada", "bob", "eve", "mallory", "trent"]
OURS = ["lab", "lab:managers", "lab:auditors", "old", "old:managers", "gpuspawner:administrators"]

leaves = st.sampled_from(
    ["ada", "mallory", "*", {"claim": "g", "equals": "x"}, {"roster": "people.csv"}, {"email_domain": "x.edu"}]
)
joined = st.lists(leaves, min_size=1, max_size=2).map(lambda some: {"all": some})
rules = st.lists(leaves | leaves.map(lambda rule: {"not": rule}) | joined, max_size=2)


@cache
def database() -> Session:
    """All users, and all groups they may be in."""
    db: Session = orm.new_session_factory("sqlite:///:memory:")()
    db.add_all(orm.User(name=name) for name in USERS)
    db.add_all(orm.Group(name=name) for name in [*OURS, "chess"])
    db.commit()
    return db


def login_of(name: str) -> Login:
    return Login(name, DAY, addresses=ADDRESSES.get(name), rosters=READ)


@settings(max_examples=60, deadline=None)
@given(rules, rules, rules, rules, st.dictionaries(st.sampled_from(USERS), st.sets(st.sampled_from([*OURS, "chess"]))))
def test_everybody_is_where_the_rules_say_and_other_groups_stay(
    members: Any, managers: Any, auditors: Any, administrators: Any, held: dict[str, set[str]]
) -> None:
    lab = {"members": members, "managers": managers, "auditors": auditors}
    spaces = {"lab": lab, "old": {**lab, "ends": "2026-11-20"}}
    hub = load_settings({"workspaces": spaces, "administrators": administrators})
    db = database()
    for user in db.query(orm.User):
        user.groups = [orm.Group.find(db, name) for name in held.get(user.name, ())]
    db.commit()
    Groups(hub).reconcile(db, login_of, "start")
    for user in db.query(orm.User):
        before = held.get(user.name, set())
        now = {group.name for group in user.groups}
        assert now - {"chess"} == wanted_groups(hub, login_of(user.name), before - {"chess"})
        assert now & {"chess"} == before & {"chess"}
        assert "old" not in now
