"""Every change of membership is heard, with who asked for it, and is in the audit log."""

from datetime import timedelta

from cluster import section
from jupyterhub import orm
from traitlets.config import Config
from ways_in import PASSWORD

from gpuspawner import configure, with_workspaces
from gpuspawner.authenticator import WorkspaceAuthenticator
from gpuspawner.ledger.records import AuditFilter
from gpuspawner.membership.log import JUPYTERHUB
from gpuspawner.membership.roles import Role

SPACES = {"course": {"members": ["ada"], "managers": ["prof"], "auditors": ["dean"]}, "lab": {"members": ["bob"]}}


async def started(start_hub, spaces=SPACES, **spawner):
    config = {"Authenticator": {"allow_all": True}, "GPUSpawner": {"workspaces": spaces, **spawner}}
    hub = await start_hub(config, authenticator=with_workspaces("dummy"))
    hub.changes = []
    hub.app.authenticator.workspace_log.subscribe(hub.changes.append)
    return hub


def heard(hub):
    told = [(one.user, one.workspace, one.role.value, one.joined, one.cause, one.actor) for one in hub.changes]
    hub.changes.clear()
    return sorted(told)


OURSELVES = "gpuspawner"
TESTS = "service:tests"


async def test_logins_refreshes_and_restarts_are_told_as_what_they_are(start_hub):
    hub = await started(start_hub, administrators=["root"])
    for name in ("ada", "prof", "dean", "root"):
        await hub.login(name, PASSWORD)
    assert heard(hub) == [
        ("ada", "course", "member", True, "login", OURSELVES),
        ("dean", "course", "auditor", True, "login", OURSELVES),
        ("prof", "course", "manager", True, "login", OURSELVES),
        ("prof", "course", "member", True, "login", OURSELVES),
        ("root", "", "administrator", True, "login", OURSELVES),
    ]
    hub = await started(start_hub, {**SPACES, "course": {"members": ["grace"], "ends": "2126-12-31"}})
    assert ("ada", "course", "member", False, "start", OURSELVES) in heard(hub)
    assert (await hub.api("POST", "users/grace")).status == 201
    assert heard(hub) == [("grace", "course", "member", True, "new user", OURSELVES)]
    person = await hub.login("grace", PASSWORD)
    now = hub.app.authenticator.workspace_clock() + timedelta(days=365 * 101)
    hub.app.authenticator.workspace_clock = lambda: now
    hub.user("grace")._auth_refreshed = None
    await person.get("home")
    assert heard(hub) == [("grace", "course", "member", False, "refresh", OURSELVES)]


async def test_what_somebody_does_through_jupyterhubs_rest_api_is_told_with_their_name(start_hub):
    hub = await started(start_hub)
    await hub.login("ada", PASSWORD)
    heard(hub)
    assert (await hub.api("POST", "groups/lab")).status == 201
    for method, joined in (("POST", True), ("DELETE", False)):
        answer = await hub.api(method, "groups/lab/users", json={"users": ["ada"]})
        assert answer.status == 200
        assert heard(hub) == [("ada", "lab", "member", joined, JUPYTERHUB, TESTS)]
    await hub.api("POST", "groups/chess")
    await hub.api("POST", "groups/chess/users", json={"users": ["ada"]})
    assert heard(hub) == []

    root = hub.user("ada")
    root.admin = True
    hub.app.db.commit()
    person = await hub.login("ada", PASSWORD)
    answer = await person.session.post(
        hub.url / "api/groups/lab/users", json={"users": ["ada"]}, headers=person.xsrf_header()
    )
    assert answer.status == 200
    assert heard(hub) == [("ada", "lab", "member", True, JUPYTERHUB, "ada")]
    await person.get("home")
    assert (await hub.api("DELETE", "groups/course")).status == 204
    assert heard(hub) == [("ada", "course", "member", False, JUPYTERHUB, TESTS)]
    assert (await hub.api("DELETE", "users/ada")).status == 204
    assert heard(hub) == [("ada", "lab", "member", False, JUPYTERHUB, TESTS)]


async def test_a_change_that_nobody_asked_for_by_a_request_is_jupyterhubs(start_hub):
    hub = await started(start_hub)
    await hub.login("bob", PASSWORD)
    heard(hub)
    hub.user("bob").orm_user.groups.append(orm.Group(name="course"))
    hub.app.db.commit()
    assert heard(hub) == [("bob", "course", "member", True, JUPYTERHUB, JUPYTERHUB)]


async def test_what_is_rolled_back_is_not_told(start_hub):
    hub = await started(start_hub)
    await hub.login("bob", PASSWORD)
    heard(hub)
    db = hub.app.db
    hub.user("bob").orm_user.groups.append(orm.Group(name="course"))
    db.flush()
    db.rollback()
    db.commit()
    assert heard(hub) == []


async def test_whoever_subscribes_late_hears_of_the_changes_since_the_start(start_hub):
    hub = await started(start_hub)
    await hub.login("ada", PASSWORD)
    late = []
    hub.app.authenticator.workspace_log.subscribe(late.append)
    assert [(change.user, change.role) for change in late] == [("ada", Role.MEMBER)]
    assert late[0].at.tzinfo is not None


async def test_a_listener_that_fails_keeps_nobody_from_logging_in(start_hub):
    hub = await started(start_hub)

    def fail(change):
        raise RuntimeError("a listener of somebody's")

    hub.app.authenticator.workspace_log.subscribe(fail)
    await hub.login("ada", PASSWORD)
    assert hub.groups("ada") == {"course"}


async def test_every_change_is_in_the_audit_log_also_those_before_the_ledger_was_opened(start_hub, engine, tmp_path):
    c = Config({"GPUSpawner": section(engine, tmp_path), "Authenticator": {"allow_all": True}})
    c.GPUSpawner.workspaces = SPACES
    c.GPUSpawner.ledger_url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    configure(c)
    hub = await start_hub(c, authenticator=with_workspaces("dummy"))
    assert isinstance(hub.app.authenticator, WorkspaceAuthenticator)
    await hub.login("ada", PASSWORD)
    await hub.login("prof", PASSWORD)
    await hub.api("DELETE", "groups/course/users", json={"users": ["ada"]})
    launcher = hub.user("ada").spawner.launcher
    await launcher.books.quiet()
    entries = (await launcher.store.audit(AuditFilter(workspace="course"))).rows
    told = sorted((entry.action, entry.user, entry.actor, dict(entry.details)) for entry in entries)
    assert told == [
        ("join", "ada", OURSELVES, {"cause": "login"}),
        ("join", "prof", OURSELVES, {"cause": "login"}),
        ("leave", "ada", TESTS, {"cause": JUPYTERHUB}),
        ("role", "prof", OURSELVES, {"cause": "login", "role": "manager", "given": True}),
    ]
    await hub.api("DELETE", "users/prof")
    await launcher.books.quiet()
    left = (await launcher.store.audit(AuditFilter(user="prof", action="leave"))).rows
    assert [(entry.actor, entry.workspace) for entry in left] == [(TESTS, "course")]
