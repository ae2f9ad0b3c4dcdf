"""A hub that is opened from a learning management system by LTI 1.3: course and role become workspace and role."""

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from identity_provider import words_of
from jupyterhub.utils import random_port
from learning_platform import ASSISTANT, CONTEXT_ID, INSTRUCTOR, LEARNER, ROLES, learning_platform

from gpuspawner.authenticator import current_workspaces, managed_workspaces, with_workspaces

LTI13 = "ltiauthenticator.lti13.auth.LTI13Authenticator"


def course(context):
    """A workspace for those who open the hub from this course; who teaches there manages it."""
    here = {"claim": CONTEXT_ID, "equals": context}
    return {
        "members": [here],
        "managers": [{"all": [here, {"claim": ROLES, "matches": "*membership#Instructor"}]}],
    }


@pytest.fixture
async def platform():
    with learning_platform() as running:
        yield running


@pytest.fixture
async def hub(start_hub, platform):
    """A hub with a workspace for each of two courses."""
    return await start_hub(
        {
            **platform.config(random_port()),
            "GPUSpawner": {"workspaces": {"cse151a": course("4711"), "math20c": course("4712")}},
        },
        authenticator=with_workspaces(LTI13),
    )


async def test_a_learner_of_the_course_is_a_member(hub, platform):
    page = await platform.open_hub(hub.person(), "ada", "4711", LEARNER)
    assert page.status == 200, await words_of(page)
    assert page.url.path == "/hub/home"
    assert current_workspaces(hub.user("ada")) == {"cse151a"}
    assert managed_workspaces(hub.user("ada")) == set()


async def test_an_instructor_of_the_course_manages_it(hub, platform):
    await platform.open_hub(hub.person(), "prof", "4711", INSTRUCTOR)
    assert current_workspaces(hub.user("prof")) == {"cse151a"}
    assert managed_workspaces(hub.user("prof")) == {"cse151a"}


async def test_an_assistant_is_a_member_where_the_rule_names_instructors_only(hub, platform):
    await platform.open_hub(hub.person(), "tutor", "4711", ASSISTANT, LEARNER)
    assert current_workspaces(hub.user("tutor")) == {"cse151a"}
    assert managed_workspaces(hub.user("tutor")) == set()


async def test_a_course_without_a_workspace_gives_nothing(hub, platform):
    page = await platform.open_hub(hub.person(), "ada", "4799", LEARNER)
    assert page.status == 200, await words_of(page)
    assert current_workspaces(hub.user("ada")) == set()


async def test_opening_it_from_another_course_adds_that_course(hub, platform):
    await platform.open_hub(hub.person(), "ada", "4711", LEARNER)
    await platform.open_hub(hub.person(), "ada", "4712", LEARNER)
    assert current_workspaces(hub.user("ada")) == {"cse151a", "math20c"}


async def test_a_role_in_one_course_is_no_role_in_another(hub, platform):
    await platform.open_hub(hub.person(), "tutor", "4711", INSTRUCTOR)
    await platform.open_hub(hub.person(), "tutor", "4712", LEARNER)
    assert managed_workspaces(hub.user("tutor")) == {"cse151a"}


async def test_who_has_another_role_now_has_it_when_they_open_the_hub_from_that_course(hub, platform):
    await platform.open_hub(hub.person(), "tutor", "4711", INSTRUCTOR)
    await platform.open_hub(hub.person(), "tutor", "4711", LEARNER)
    assert managed_workspaces(hub.user("tutor")) == set()
    assert current_workspaces(hub.user("tutor")) == {"cse151a"}


async def test_a_message_that_somebody_else_has_signed_lets_nobody_in(hub, platform):
    platform.signs_with = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    person = hub.person()
    page = await platform.open_hub(person, "mallory", "4711", INSTRUCTOR)
    assert page.status >= 400
    assert (await person.get("home", allow_redirects=False)).status == 302


async def test_an_old_page_of_the_platform_cannot_be_sent_again(hub, platform):
    sent = await platform.signed_page(hub.person(), "ada", "4711", LEARNER)
    page = await hub.person().session.post(sent.action, data=sent.fields)
    assert page.status == 400
    assert "state" in await words_of(page)


async def test_a_browser_carries_it_through_between_two_sites(start_hub, platform, page):
    config = platform.config(random_port(), host="localhost")  # to a browser another site than 127.0.0.1
    hub = await start_hub(
        {**config, "GPUSpawner": {"workspaces": {"cse151a": course("4711")}}}, authenticator=with_workspaces(LTI13)
    )
    await page.goto(platform.course_page("ada", "4711", LEARNER))
    async with page.expect_popup() as popup:
        await page.get_by_role("button", name="Notebooks").click()
    tab = await popup.value
    await tab.wait_for_url(str(platform.hub / "home"))
    assert await tab.locator("#start").is_visible()
    assert hub.groups("ada") == {"cse151a"}


async def test_the_hub_tells_the_platform_how_to_install_it(hub):
    answer = await hub.person().get("lti13/config")
    assert answer.status == 200
    assert (await answer.json(content_type=None))["oidc_initiation_url"] == str(hub.url / "lti13/oauth_login")
