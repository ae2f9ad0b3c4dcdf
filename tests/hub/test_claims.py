"""Memberships by claim: what a login says, what a refresh may and may not change, and that nothing of it is stored."""

import pytest
from jupyterhub.auth import Authenticator
from ways_in import PASSWORD

from gpuspawner.authenticator import claims_of, current_workspaces, with_workspaces

COURSE = {"members": [{"claim": "groups", "matches": "course:*"}]}
TOKEN = "a-token-that-must-not-be-kept"


class ProviderAuthenticator(Authenticator):
    """A login with claims, as an OAuthenticator makes one; the test plays the identity provider."""

    claims = ()
    groups = ()
    refreshed = True

    async def authenticate(self, handler, data):
        return {
            "name": data["username"],
            "auth_state": {"access_token": TOKEN, "scope": ["openid"], "oauth_user": dict(self.claims)},
            "groups": list(self.groups),
        }

    async def refresh_user(self, user, handler=None):
        return self.refreshed() if callable(self.refreshed) else self.refreshed


@pytest.fixture
async def hub(start_hub):
    return await start_hub(config(), authenticator=with_workspaces(ProviderAuthenticator))


def config(**spaces):
    return {
        "Authenticator": {"allow_all": True},
        "GPUSpawner": {"workspaces": {"course": COURSE, "lab": {"members": ["ada"]}} | spaces},
    }


def provider_says(hub, *groups):
    hub.app.authenticator.claims = {"sub": "4711", "groups": list(groups)}


def refresh_finds(hub, model):
    hub.app.authenticator.refreshed = model


async def refresh(hub, person, expected=200):
    hub.user("ada")._auth_refreshed = None
    page = await person.get("home", allow_redirects=False)
    assert page.status == expected


async def test_a_claim_makes_a_member_and_its_loss_ends_that_at_the_next_login(hub):
    provider_says(hub, "course:cse151a:student")
    await hub.login("ada", PASSWORD)
    assert hub.groups("ada") == {"course", "lab"}
    provider_says(hub, "alumni")
    await hub.login("ada", PASSWORD)
    assert hub.groups("ada") == {"lab"}


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(True, id="nothing to refresh"),
        pytest.param({"admin": False}, id="no auth_state"),
        pytest.param({"auth_state": None}, id="auth_state lost"),
        pytest.param({"auth_state": {"access_token": TOKEN}}, id="a new token only"),
        pytest.param({"groups": ["staff"]}, id="groups of another source only"),
    ],
)
async def test_a_refresh_without_claims_ends_no_membership_by_claim(hub, model):
    provider_says(hub, "course:cse151a:student")
    person = await hub.login("ada", PASSWORD)
    refresh_finds(hub, lambda: dict(model) if isinstance(model, dict) else model)
    await refresh(hub, person)
    assert hub.groups("ada") == {"course", "lab"}


async def test_a_refresh_with_claims_joins_and_leaves(hub):
    provider_says(hub)
    person = await hub.login("ada", PASSWORD)
    assert hub.groups("ada") == {"lab"}
    refresh_finds(hub, lambda: {"auth_state": {"oauth_user": {"groups": ["course:cse151a:student"]}}})
    await refresh(hub, person)
    assert hub.groups("ada") == {"course", "lab"}
    refresh_finds(hub, lambda: {"auth_state": {"oauth_user": {"sub": "4711"}}})
    await refresh(hub, person)
    assert hub.groups("ada") == {"lab"}


async def test_a_login_that_cannot_be_refreshed_ends_and_keeps_its_memberships(hub):
    provider_says(hub, "course:cse151a:student")
    person = await hub.login("ada", PASSWORD)
    refresh_finds(hub, False)
    await refresh(hub, person, expected=302)
    assert hub.groups("ada") == {"course", "lab"}


async def test_a_refresh_of_managed_groups_replaces_those_and_keeps_the_workspaces(start_hub):
    managed = {"ProviderAuthenticator": {"manage_groups": True}}
    hub = await start_hub(config() | managed, authenticator=with_workspaces(ProviderAuthenticator))
    provider_says(hub, "course:cse151a:student")
    hub.app.authenticator.groups = ["staff"]
    person = await hub.login("ada", PASSWORD)
    assert hub.groups("ada") == {"course", "lab", "staff"}
    refresh_finds(hub, lambda: {"groups": ["alumni"]})
    await refresh(hub, person)
    assert hub.groups("ada") == {"course", "lab", "alumni"}
    refresh_finds(hub, lambda: {"groups": ["alumni"], "auth_state": {"oauth_user": {"sub": "4711"}}})
    await refresh(hub, person)
    assert hub.groups("ada") == {"lab", "alumni"}


async def test_memberships_by_claim_outlive_the_hub_and_those_by_name_follow_the_configuration(start_hub):
    authenticator = with_workspaces(ProviderAuthenticator)
    hub = await start_hub(config(), authenticator=authenticator)
    provider_says(hub, "course:cse151a:student")
    await hub.login("ada", PASSWORD)

    hub = await start_hub(config(lab={"members": ["grace"]}), authenticator=authenticator)
    assert current_workspaces(hub.user("ada")) == {"course"}

    hub = await start_hub(config(course={"members": ["grace"]}), authenticator=authenticator)
    assert current_workspaces(hub.user("ada")) == {"lab"}


async def test_a_course_opens_for_those_who_logged_in_before_its_first_day(start_hub):
    spaces = {"course": {**COURSE, "starts": "2126-09-21"}}
    hub = await start_hub(config(**spaces), authenticator=with_workspaces(ProviderAuthenticator))
    provider_says(hub, "course:cse151a:student")
    await hub.login("ada", PASSWORD)
    assert current_workspaces(hub.user("ada")) == {"lab"}

    now = hub.app.authenticator.workspace_clock()
    hub.app.authenticator.workspace_clock = lambda: now.replace(year=2127)
    assert current_workspaces(hub.user("ada")) == {"course", "lab"}


async def test_nothing_of_the_claims_is_stored(hub, tmp_path):
    provider_says(hub, "course:cse151a:student")
    await hub.login("ada", PASSWORD)
    hub.app.db.commit()
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.is_file())
    assert b"ada" in stored
    assert b"cse151a" not in stored
    assert TOKEN.encode() not in stored


LTI_CONTEXT = "https://purl.imsglobal.org/spec/lti/claim/context"


@pytest.mark.parametrize(
    ("model", "claims"),
    [
        pytest.param({"auth_state": None}, {}, id="PAM and Dummy"),
        pytest.param({"auth_state": None, "groups": []}, {}, id="no groups"),
        pytest.param(
            {"auth_state": {"access_token": "x", "token_response": {}, "oauth_user": {"sub": "1", "groups": ["a"]}}},
            {"sub": "1", "groups": ["a"]},
            id="generic-oauth",
        ),
        pytest.param(
            {"auth_state": {"id_token": "x", "cilogon_user": {"eppn": "ada@uni.edu", "isMemberOf": ["lab"]}}},
            {"eppn": "ada@uni.edu", "isMemberOf": ["lab"]},
            id="CILogon",
        ),
        pytest.param(
            {"auth_state": {"refresh_token": "x", "github_user": {"login": "ada"}}},
            {"login": "ada"},
            id="an OAuthenticator of its own key",
        ),
        pytest.param(
            {"auth_state": {"ldap_groups": ["cn=lab"], "user_attributes": {"mail": ["ada@uni.edu"]}}},
            {"ldap_groups": ["cn=lab"], "mail": ["ada@uni.edu"]},
            id="LDAP",
        ),
        pytest.param(
            {"auth_state": {"sub": "1", LTI_CONTEXT: {"id": "cse151a"}}},
            {"sub": "1", LTI_CONTEXT: {"id": "cse151a"}},
            id="LTI 1.3",
        ),
        pytest.param(
            {"auth_state": {"oauth_user": {"groups": "a"}}, "groups": ["b"]}, {"groups": ["a", "b"]}, id="both groups"
        ),
        pytest.param({"groups": ["b"]}, {"groups": ["b"]}, id="groups only"),
        pytest.param(
            {"auth_state": {"oauth_user": {"groups": {"admin": True}}}, "groups": ["b"]},
            {"groups": ["admin", "b"]},
            id="groups as a mapping",
        ),
    ],
)
def test_claims_are_found_where_each_authenticator_keeps_them(model, claims):
    assert claims_of(model, "github_user") == claims
