"""Who the headers of a trusted proxy name is logged in; nobody else can say so. With Apache: test_shibboleth.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from identity_provider import words_of
from jupyterhub import orm
from multidict import CIMultiDict
from traitlets.config import Config

from gpuspawner.authenticator import with_workspaces
from gpuspawner.config import load_settings
from gpuspawner.errors import ConfigurationError
from gpuspawner.logins.trusted_header import TrustedHeaderAuthenticator, values_of
from gpuspawner.membership.login_facts import notices_of

SECRET = "0123456789abcdef0123456789abcdef"
NEXT_SECRET = SECRET[::-1]
COURSE = "urn:mace:ucsd.edu:course:cse151a:fa26"

SECTION = {
    "workspaces": {
        "everyone": {"members": "*"},
        "course": {"members": [{"claim": "isMemberOf", "equals": COURSE}]},
        "students": {"members": [{"claim": "affiliation", "matches": "student@*"}]},
    }
}


@pytest.fixture
async def start(start_hub):
    """Start a hub that trusts headers; the arguments are further traits of its authenticator."""

    async def starting(**traits):
        login = {
            "proxy_secrets": [SECRET, NEXT_SECRET],
            "claim_headers": {"isMemberOf": "X-Is-Member-Of", "affiliation": "X-Affiliation"},
            **traits,
        }
        return await start_hub(
            {"TrustedHeaderAuthenticator": login, "Authenticator": {"allow_all": True}, "GPUSpawner": SECTION},
            authenticator=with_workspaces(TrustedHeaderAuthenticator),
        )

    return starting


def said(name="ada", secret=SECRET, **more):
    """The headers of a proxy that has logged somebody in."""
    return {
        "X-Proxy-Secret": secret,
        "X-Remote-User": name,
        **{key.replace("_", "-"): text for key, text in more.items()},
    }


async def log_in(person, headers):
    return await person.get("login", params={"next": "/hub/home"}, headers=headers)


async def is_logged_in(person):
    return (await person.get("home", allow_redirects=False)).status == 200


@pytest.mark.parametrize("secret", [SECRET, NEXT_SECRET])
async def test_who_the_headers_name_is_logged_in_with_their_claims(start, secret):
    hub = await start()
    person = hub.person()
    headers = said(
        secret=secret,
        X_Is_Member_Of=f"urn:mace:ucsd.edu:gym;{COURSE}",
        X_Affiliation="member@ucsd.edu;student@ucsd.edu",
    )
    page = await log_in(person, headers)
    assert page.status == 200, await words_of(page)
    assert page.url.path == "/hub/home"
    assert hub.groups("ada") == {"everyone", "course", "students"}
    assert await is_logged_in(person)  # a cookie, without the headers


NOT_TRUSTED = {
    "without the secret": {"X-Remote-User": "ada"},
    "with a wrong secret": said(secret="f" * 32),
    "with a part of the secret": said(secret=SECRET[:-1]),
    "with two secrets": CIMultiDict([*said().items(), ("X-Proxy-Secret", "f" * 32)]),
}


@pytest.mark.parametrize("headers", NOT_TRUSTED.values(), ids=NOT_TRUSTED)
async def test_headers_of_somebody_else_log_nobody_in_and_the_page_says_where_to_go(start, headers):
    hub = await start()
    person = hub.person()
    page = await log_in(person, headers)
    assert page.status == 403
    assert "did not come through your institution's login" in await words_of(page)
    assert orm.User.find(hub.app.db, "ada") is None
    assert not await is_logged_in(person)


NOBODY = {
    "no name": {"X-Proxy-Secret": SECRET},
    "an empty name": said(name=""),
    "Apache's word for none": said(name="(null)"),
    "two names, one of them sent by the browser": CIMultiDict([*said().items(), ("X-Remote-User", "root")]),
}


@pytest.mark.parametrize("headers", NOBODY.values(), ids=NOBODY)
async def test_a_proxy_that_does_not_say_who_it_is_logs_nobody_in(start, headers):
    hub = await start()
    page = await log_in(hub.person(), headers)
    assert page.status == 403
    assert "did not say who you are" in await words_of(page)
    assert hub.app.db.query(orm.User).count() == 0


async def test_the_secret_alone_does_not_help_whoever_connects_from_elsewhere(start):
    hub = await start(trusted_proxies=["10.0.0.0/8", "2001:db8::7"])
    page = await log_in(hub.person(), {**said(), "X-Forwarded-For": "10.1.2.3", "X-Real-Ip": "10.1.2.3"})
    assert page.status == 403
    assert "did not come through" in await words_of(page)

    hub = await start(trusted_proxies=["10.0.0.0/8", "127.0.0.1"])
    page = await log_in(hub.person(), {**said(), "X-Forwarded-For": "192.0.2.1"})
    assert page.status == 200, await words_of(page)


async def test_names_and_claims_beyond_ascii_are_read_as_web_servers_write_them(start):
    hub = await start(claim_headers={"isMemberOf": "X-Is-Member-Of", "affiliation": "X-Affiliation"})
    page = await log_in(hub.person(), said("zoë", X_Affiliation="student@zürich.example"))
    assert page.status == 200, await words_of(page)
    assert hub.groups("zoë") == {"everyone", "students"}


def old(hub, name):
    """Let the age of what is known about a login run out."""
    hub.user(name)._auth_refreshed = None


async def test_pages_that_the_proxy_authenticates_refresh_the_claims(start):
    hub = await start()
    person = hub.person()
    await log_in(person, said(X_Is_Member_Of=COURSE))
    assert hub.groups("ada") == {"everyone", "course"}

    old(hub, "ada")
    await person.get("home")  # a page that is not: nothing new is known
    assert hub.groups("ada") == {"everyone", "course"}

    old(hub, "ada")
    page = await person.get("home", headers=said(X_Affiliation="student@ucsd.edu"), allow_redirects=False)
    assert page.status == 200
    assert hub.groups("ada") == {"everyone", "students"}

    old(hub, "ada")
    await person.get("home", headers=said(secret="f" * 32, X_Is_Member_Of=COURSE))  # nor from anybody
    assert hub.groups("ada") == {"everyone", "students"}


async def test_somebody_else_at_the_same_browser_does_not_see_the_first_ones_hub(start):
    hub = await start()
    person = hub.person()
    await log_in(person, said("ada"))
    old(hub, "ada")
    page = await person.get("home", headers=said("grace"), allow_redirects=False)
    assert page.status == 302
    assert "login" in page.headers["Location"]
    page = await log_in(person, said("grace"))
    assert page.status == 200
    assert "grace" in await page.text()


async def test_an_administrator_who_looks_at_somebody_changes_nothing_of_theirs(start):
    hub = await start(admin_users={"root"})
    await log_in(hub.person(), said("ada", X_Is_Member_Of=COURSE))
    administrator = hub.person()
    await log_in(administrator, said("root"))
    old(hub, "ada")
    page = await administrator.get("api/users/ada", headers=said("root"))
    assert page.status == 200, await page.text()
    assert hub.groups("ada") == {"everyone", "course"}


async def test_logging_out_goes_on_to_the_proxys_logout(start):
    hub = await start(logout_redirect_url="/Shibboleth.sso/Logout")
    person = hub.person()
    await log_in(person, said())
    page = await person.get("logout", allow_redirects=False)
    assert (page.status, page.headers["Location"]) == (302, "/Shibboleth.sso/Logout")
    assert not await is_logged_in(person)


async def test_without_the_proxys_logout_a_page_says_that_one_has_logged_out(start):
    hub = await start()
    person = hub.person()
    await log_in(person, said())
    page = await person.get("logout")
    assert page.status == 200
    assert "logged out" in await page.text()


MISTAKES = {
    "no secret": ({"proxy_secrets": []}, "proxy_secrets: found none"),
    "a short secret": ({"proxy_secrets": [SECRET, "hunter2"]}, "proxy_secrets[1]: found 7 characters"),
    "no header": ({"username_header": ""}, "username_header: found ''"),
    "no header's name": ({"claim_headers": {"mail": "X Mail:"}}, "claim_headers['mail']: found 'X Mail:'"),
    "the secret as a claim": (
        {"claim_headers": {"it": "x-proxy-secret"}},
        "claim_headers['it']: found 'x-proxy-secret'",
    ),
    "no network": ({"trusted_proxies": ["campus"]}, "trusted_proxies[0]: found 'campus'"),
    "an address in a network's place": ({"trusted_proxies": ["10.1.2.3/8"]}, "trusted_proxies[0]: found '10.1.2.3/8'"),
}


@pytest.mark.parametrize(("traits", "told"), MISTAKES.values(), ids=MISTAKES)
def test_a_configuration_that_would_trust_anybody_or_nobody_stops_the_hub(traits, told):
    config = Config({"TrustedHeaderAuthenticator": {"proxy_secrets": [SECRET], **traits}})
    with pytest.raises(ConfigurationError) as error:
        with_workspaces(TrustedHeaderAuthenticator)(config=config)
    assert f"c.TrustedHeaderAuthenticator.{told}" in str(error.value)
    assert "hunter2" not in str(error.value)


def test_a_rule_over_a_header_that_is_not_read_is_told_at_the_start():
    section = Config(
        {
            "workspaces": {
                "course": {"members": [{"claim": "isMemberOf", "equals": COURSE}]},
                "staff": {"members": [{"claim": "affiliation", "equals": "staff@ucsd.edu"}]},
            }
        }
    )
    login = {"proxy_secrets": [SECRET], "claim_headers": {"isMemberOf": "X-Is-Member-Of"}}
    config = Config({"TrustedHeaderAuthenticator": login, "GPUSpawner": section})
    told = list(notices_of(load_settings(section), with_workspaces("trusted-header"), config, {}))
    assert len(told) == 1
    assert told[0].startswith("c.GPUSpawner.workspaces['staff'].members[0]")


def test_the_entry_point_names_it():
    assert issubclass(with_workspaces("trusted-header"), TrustedHeaderAuthenticator)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", []),
        ("a", ["a"]),
        ("a;b", ["a", "b"]),
        (r"a\;b;c", ["a;b", "c"]),
        ("a;;b; ", ["a", "b"]),
    ],
)
def test_values_are_separated_as_shibboleth_writes_them(text, values):
    assert values_of(text) == values


def test_without_a_separator_a_header_is_one_value():
    assert values_of("a;b", "") == ["a;b"]


value = st.text(st.characters(exclude_characters="\\", exclude_categories=["C", "Z"]), min_size=1)


@given(st.lists(value))
def test_what_shibboleth_joins_is_taken_apart_again(values):
    assert values_of(";".join(one.replace(";", "\\;") for one in values)) == values
