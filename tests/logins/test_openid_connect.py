"""Logins at a real OpenID Connect provider become workspaces, whatever shape its claims have."""

import pytest
from identity_provider import log_in_at_the_provider, words_of

from gpuspawner.authenticator import current_workspaces, with_workspaces

IDP = "https://idp.ucsd.edu/idp/shibboleth"
COURSE = "urn:mace:ucsd.edu:course:cse151a:fa26"


def section(**members):
    """The GPUSpawner section with these workspaces, each with one rule."""
    return {"workspaces": {name: {"members": [rule]} for name, rule in members.items()}}


CLAIMS = {
    "groups, a list": (
        {"groups": ["staff", "course:cse151a:fa26"]},
        {"claim": "groups", "matches": "course:cse151a:*"},
    ),
    "groups, one text": ({"groups": "staff"}, {"claim": "groups", "equals": "staff"}),
    "isMemberOf": ({"isMemberOf": [COURSE, "urn:mace:ucsd.edu:gym"]}, {"claim": "isMemberOf", "equals": COURSE}),
    "an affiliation": (
        {"eduperson_scoped_affiliation": "student@ucsd.edu"},
        {"claim": "eduperson_scoped_affiliation", "equals": "student@ucsd.edu"},
    ),
    "affiliations, a list": (
        {"eduperson_scoped_affiliation": ["member@ucsd.edu", "student@ucsd.edu"]},
        {"claim": "eduperson_scoped_affiliation", "equals": "student@ucsd.edu"},
    ),
    "affiliations, joined as Shibboleth does": (
        {"eduperson_scoped_affiliation": "member@ucsd.edu;student@ucsd.edu"},
        {"claim": "eduperson_scoped_affiliation", "matches": "student@*"},
    ),
    "roles, nested as in Keycloak": (
        {"realm_access": {"roles": ["offline_access", "researcher"]}},
        {"claim": "realm_access.roles", "equals": "researcher"},
    ),
    "roles of one client, in a key with dots": (
        {"resource_access": {"hub.ucsd.edu": {"roles": ["gpu"]}}},
        {"claim": "resource_access.hub.ucsd.edu.roles", "equals": "gpu"},
    ),
    "a list of objects": (
        {"courses": [{"id": "7", "term": "fa26"}, {"id": "9", "term": "wi27"}]},
        {"claim": "courses.id", "equals": "9"},
    ),
    "a claim that is an address": (
        {"https://ucsd.edu/claims/department": "CSE"},
        {"claim": "https://ucsd.edu/claims/department", "equals": "CSE"},
    ),
}


@pytest.mark.parametrize(("claims", "rule"), CLAIMS.values(), ids=CLAIMS)
async def test_a_claim_of_this_shape_makes_a_member(start_hub, provider, claims, rule):
    await provider.says("ada", **claims)
    await provider.says("grace", groups=["other"], eduperson_scoped_affiliation="alum@ucsd.edu")
    hub = await start_hub(
        {**provider.generic(), "GPUSpawner": section(course=rule)}, authenticator=with_workspaces("generic-oauth")
    )
    for name, expected in (("ada", {"course"}), ("grace", set())):
        page = await log_in_at_the_provider(hub.person(), name)
        assert page.status == 200, await words_of(page)
        assert hub.groups(name) == expected
        assert current_workspaces(hub.user(name)) == expected


async def test_cilogon_names_the_institution_and_its_affiliations(start_hub, provider):
    await provider.says(
        "ada",
        idp=IDP,
        eppn="ada@ucsd.edu",
        affiliation="member@ucsd.edu;student@ucsd.edu",
        isMemberOf=[COURSE],
    )
    hub = await start_hub(
        {
            **provider.cilogon(IDP),
            "GPUSpawner": section(
                students={"claim": "affiliation", "equals": "student@ucsd.edu"},
                course={"claim": "isMemberOf", "equals": COURSE},
                here={"claim": "idp", "equals": IDP},
                staff={"claim": "affiliation", "equals": "staff@ucsd.edu"},
            ),
        },
        authenticator=with_workspaces("cilogon"),
    )
    page = await log_in_at_the_provider(hub.person(), "ada")
    assert page.status == 200, await words_of(page)
    assert hub.groups("ada") == {"students", "course", "here"}


async def test_cilogon_refuses_people_of_another_institution(start_hub, provider):
    await provider.says("mallory", idp="https://idp.example.org", eppn="mallory@example.org")
    hub = await start_hub(
        {**provider.cilogon(IDP), "GPUSpawner": section(here={"claim": "idp", "matches": "*"})},
        authenticator=with_workspaces("cilogon"),
    )
    page = await log_in_at_the_provider(hub.person(), "mallory")
    assert page.status == 403


async def test_who_refuses_at_the_provider_is_not_logged_in(start_hub, provider):
    hub = await start_hub(
        {**provider.generic(), "GPUSpawner": {"workspaces": {"everyone": {"members": "*"}}}},
        authenticator=with_workspaces("generic-oauth"),
    )
    person = hub.person()
    login = await person.get("oauth_login", params={"next": "/hub/home"})
    page = await person.session.post(login.url, data={"action": "deny"})
    assert page.status == 400
    assert "denied the request" in await words_of(page)
    assert (await person.get("home", allow_redirects=False)).status == 302
