"""Shibboleth in Apache before the hub: who logs in at a SAML identity provider is logged in, with its attributes."""

import pytest
from identity_provider import words_of
from jupyterhub import orm
from jupyterhub.handlers import BaseHandler
from jupyterhub.utils import random_port
from shibboleth import SECRET, campus

from gpuspawner.authenticator import with_workspaces

COURSE = "urn:mace:ucsd.edu:course:cse151a:fa26"


class HeadersHandler(BaseHandler):
    """Shows the headers of the request."""

    def get(self):
        self.write(dict(self.request.headers))


@pytest.fixture
def hub_port():
    return random_port()


@pytest.fixture
def ucsd(hub_port):
    with campus(f"http://127.0.0.1:{hub_port}") as running:
        yield running


@pytest.fixture
async def hub(start_hub, hub_port):
    """A hub with a page that shows what has reached it."""
    return await start_hub(
        {
            "JupyterHub": {
                "hub_bind_url": f"http://127.0.0.1:{hub_port}/hub/",
                "extra_handlers": [("/headers", HeadersHandler)],
            },
            "Authenticator": {"allow_all": True},
            "TrustedHeaderAuthenticator": {
                "proxy_secrets": [SECRET],
                "claim_headers": {"affiliation": "X-Affiliation", "isMemberOf": "X-Is-Member-Of"},
                "logout_redirect_url": "/Shibboleth.sso/Logout",
            },
            "GPUSpawner": {
                "workspaces": {
                    "everyone": {"members": "*"},
                    "students": {"members": [{"claim": "affiliation", "equals": "student@ucsd.edu"}]},
                    "course": {"members": [{"claim": "isMemberOf", "equals": COURSE}]},
                    "staff": {"members": [{"claim": "affiliation", "equals": "staff@ucsd.edu"}]},
                }
            },
        },
        authenticator=with_workspaces("trusted-header"),
    )


async def test_attributes_become_workspaces(hub, ucsd):
    ucsd.says(
        "ada",
        eduPersonScopedAffiliation=["member@ucsd.edu", "student@ucsd.edu"],
        isMemberOf=["urn:mace:ucsd.edu:gym; pool", COURSE],
    )
    page = await ucsd.log_in(hub.person(), "ada")
    assert page.status == 200, await words_of(page)
    assert page.url == ucsd.url / "hub/home"
    assert hub.groups("ada@ucsd.edu") == {"everyone", "students", "course"}


async def test_attributes_that_are_not_given_are_no_claims(hub, ucsd):
    ucsd.says("grace")
    page = await ucsd.log_in(hub.person(), "grace")
    assert page.status == 200, await words_of(page)
    assert hub.groups("grace@ucsd.edu") == {"everyone"}


async def test_an_affiliation_that_the_institution_may_not_give_does_not_count(hub, ucsd):
    ucsd.says("ada", eduPersonScopedAffiliation=["student@ucsd.edu", "staff@example.org"])
    await ucsd.log_in(hub.person(), "ada")
    assert hub.groups("ada@ucsd.edu") == {"everyone", "students"}


async def test_after_logging_out_the_next_login_brings_what_is_true_then(hub, ucsd):
    ucsd.says("ada", eduPersonScopedAffiliation=["student@ucsd.edu"], isMemberOf=[COURSE])
    person = hub.person()
    await ucsd.log_in(person, "ada")
    page = await ucsd.get(person, "hub/logout")
    assert page.url.path == "/Shibboleth.sso/Logout"

    ucsd.says("ada", eduPersonScopedAffiliation=["staff@ucsd.edu"])
    page = await ucsd.log_in(person, "ada")
    assert page.status == 200, await words_of(page)
    assert hub.groups("ada@ucsd.edu") == {"everyone", "staff"}


async def test_headers_of_the_browser_are_overwritten_at_the_login(hub, ucsd):
    ucsd.says("mallory")
    person = hub.person()
    person.session.headers.update({"X-Remote-User": "root", "X-Is-Member-Of": COURSE, "X-Proxy-Secret": "guess"})
    page = await ucsd.log_in(person, "mallory")
    assert page.status == 200, await words_of(page)
    assert hub.groups("mallory@ucsd.edu") == {"everyone"}
    assert orm.User.find(hub.app.db, "root") is None


async def test_past_the_web_server_nobody_is_logged_in(hub, ucsd):
    page = await hub.person().get("login", headers={"X-Remote-User": "root", "X-Proxy-Secret": "guess"})
    assert page.status == 403
    assert "did not come through your institution's login" in await words_of(page)
    assert hub.app.db.query(orm.User).count() == 0


async def test_no_other_page_gets_the_secret(hub, ucsd):
    ucsd.says("ada")
    person = hub.person()
    await ucsd.log_in(person, "ada")
    page = await ucsd.get(person, "hub/headers")
    assert page.status == 200
    reached = await page.text()
    assert "X-Forwarded-For" in reached
    assert SECRET not in reached
    assert "X-Remote-User" not in reached
