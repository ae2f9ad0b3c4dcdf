"""The frame of the pages in a real hub: its navigation by role, its policy, what is told once, refusals as pages."""

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

from cluster import SECTION
from jinja2 import FileSystemLoader
from running_hub import Person, RunningHub
from traitlets.config import Config

from gpuspawner import configure
from gpuspawner.membership.roles import Action
from gpuspawner.web import template_dir
from gpuspawner.web.pages.base import PageHandler
from gpuspawner.web.policy import POLICY

PEOPLE = {
    "everyone": {"members": "*"},
    "lab": {"display_name": "The Lab", "members": ["ada"], "managers": ["prof"], "auditors": ["eve"]},
}


class Told(PageHandler):
    """A page that says what its form was sent, and refuses to do the rest."""

    async def get(self) -> None:
        self.require(Action.ADMINISTER)

    async def post(self) -> None:
        self.back(self.get_body_argument("to"), f"Done <b>{self.get_body_argument('what')}</b>.", remedy="Look.")


async def a_hub(start_gpu_hub: Any, **hub: Any) -> RunningHub:
    handlers = [(r"/gpuspawner/told", Told)]
    found: RunningHub = await start_gpu_hub(
        workspaces=PEOPLE, hub={"extra_handlers": handlers, "admin_users": {"root"}, **hub}
    )
    return found


def links(page: str) -> list[str]:
    return re.findall(r'class="nav-link[^"]*"\s+href="/hub/([^"]*)"', page)


async def text(person: Person, path: str) -> str:
    return await (await person.get(path)).text()


async def test_the_navigation_shows_what_a_role_may_see(start_gpu_hub: Any) -> None:
    hub = await a_hub(start_gpu_hub)
    mine = ["home", "spawn", "gpuspawner/usage", "gpuspawner/status"]
    expected = {
        "ada": [*mine, "token"],
        "prof": [*mine, "gpuspawner/workspaces", "token"],
        "eve": [*mine, "gpuspawner/workspaces", "token"],
        "root": [*mine, "gpuspawner/workspaces", "gpuspawner/admin", "token", "admin"],
    }
    found = {name: links(await text(await hub.login(name, "x"), "home")) for name in expected}
    assert found == expected


async def test_every_page_has_the_policy_and_a_hub_with_subdomains_lets_forms_lead_there(start_gpu_hub: Any) -> None:
    hub = await a_hub(start_gpu_hub)
    ada = await hub.login("ada", "x")
    hub.app.tornado_settings["subdomain_host"] = "https://hub.example.org:8443"
    hub.app.tornado_application.settings["subdomain_host"] = "https://hub.example.org:8443"
    allowed = f"{POLICY}; form-action 'self' https://*.hub.example.org:8443".replace("'", "&#39;")
    for path in ("home", "spawn", "token", "gpuspawner/told", "no/such/page"):
        assert f'content="{allowed}"' in await text(ada, path), path
    answer = await ada.get("gpuspawner/told")
    assert answer.headers["Content-Security-Policy"].startswith(f"{POLICY}; form-action 'self' https://*.hub")
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


async def test_a_site_sets_a_policy_of_its_own(start_gpu_hub: Any) -> None:
    hub = await a_hub(start_gpu_hub, template_vars={"gpuspawner_csp": "default-src https:"})
    ada = await hub.login("ada", "x")
    assert 'content="default-src https:"' in await text(ada, "home")
    answer = await ada.get("gpuspawner/told")
    assert answer.headers["Content-Security-Policy"].startswith("default-src https:; frame-ancestors")


async def test_a_refused_page_says_why_what_next_and_leads_home(start_gpu_hub: Any) -> None:
    hub = await a_hub(start_gpu_hub)
    ada = await hub.login("ada", "x")
    answer = await ada.get("gpuspawner/told")
    page = await answer.text()
    assert answer.status == 403
    assert "<strong>ada may not do this.</strong> It takes the scope custom:gpuspawner:admin." in page
    assert 'href="/hub/home">Home</a>' in page


async def test_a_form_is_answered_once_on_the_next_page_as_text(start_gpu_hub: Any) -> None:
    hub = await a_hub(start_gpu_hub)
    ada = await hub.login("ada", "x")
    fields = {"what": "it", "to": "/hub/token", "_xsrf": ada.xsrf_header()["X-XSRFToken"]}
    answer = await ada.session.post(hub.url / "gpuspawner/told", data=fields)
    assert answer.url.path == "/hub/token"
    assert "<strong>Done &lt;b&gt;it&lt;/b&gt;.</strong> Look." in await answer.text()
    assert "Done" not in await text(ada, "token")
    for elsewhere in ("https://example.org/hub/", "//example.org/hub/", "/other", "/hub/\\example.org"):
        answer = await ada.session.post(
            hub.url / "gpuspawner/told", data={**fields, "to": elsewhere}, allow_redirects=False
        )
        assert (answer.status, answer.headers["Location"]) == (303, "/hub/home")


async def test_who_is_not_logged_in_gets_to_the_login_and_posts_nothing(start_gpu_hub: Any) -> None:
    hub = await a_hub(start_gpu_hub)
    nobody = hub.person()
    answer = await nobody.get("gpuspawner/told", params={"a": "b"}, allow_redirects=False)
    assert answer.status == 302
    assert answer.headers["Location"].endswith("/hub/login?next=%2Fhub%2Fgpuspawner%2Ftold%3Fa%3Db")
    await nobody.get("login")
    fields = {"what": "it", "to": "/hub/token"}
    assert (await nobody.session.post(hub.url / "gpuspawner/told", data=fields)).status == 403
    fields["_xsrf"] = nobody.xsrf_header()["X-XSRFToken"]
    assert (await nobody.session.post(hub.url / "gpuspawner/told", data=fields)).status == 403
    ada = await hub.login("ada", "x")
    assert (await ada.session.post(hub.url / "gpuspawner/told", data={"what": "it"})).status == 403


async def test_a_site_puts_its_own_frame_around_every_page(start_gpu_hub: Any, tmp_path: Path) -> None:
    templates = tmp_path / "templates"
    templates.mkdir()
    own = '{% extends "gpuspawner_page.html" %}{% block footer %}Ask the library.{% endblock %}'
    (templates / "page.html").write_text(own)
    hub = await a_hub(start_gpu_hub)
    environments = [hub.app.tornado_settings["jinja2_env"], hub.app.tornado_settings["jinja2_env_sync"]]
    for environment in environments:
        environment.loader.loaders.insert(0, FileSystemLoader(str(templates)))
    ada = await hub.login("ada", "x")
    for path in ("home", "spawn", "gpuspawner/told", "nowhere"):
        page = await text(ada, path)
        assert "Ask the library." in page
        assert "gpuspawner.css" in page


def test_templates_of_a_site_come_first_where_it_says_so() -> None:
    c = Config({"GPUSpawner": deepcopy(SECTION)})
    configure(c)
    c.JupyterHub.template_paths.insert(0, "/srv/hub/templates")
    assert c.JupyterHub.template_paths.get_value([])[:2] == ["/srv/hub/templates", str(template_dir)]
