"""The launch page of a running hub: filled in by a link or by the last choice, and the pictures of profiles."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from cluster import SECTION
from hub_fixtures import StartHub
from launching import launch
from running_hub import Person, RunningHub
from test_form import Fields
from yarl import URL

SVG = "<svg xmlns='http://www.w3.org/2000/svg' width='40' height='40'><script>alert(1)</script></svg>"


@pytest.fixture
async def hub(start_gpu_hub: StartHub) -> RunningHub:
    hub = await start_gpu_hub()
    for name in ("ada", "bob"):
        assert (await hub.api("POST", f"users/{name}")).status == 201
    return hub


class Form(Fields):
    """The launch form: what it begins with, what its script is told, and its words."""

    def __init__(self, html: str) -> None:
        super().__init__(html)
        self.html = html
        self.text = " ".join(text for text in self.texts if text)

    def chosen(self, *fields: str) -> list[str | None]:
        return [self.checked(field) if self._radio(field) else self.values(field)[0] for field in fields]

    @property
    def data(self) -> Any:
        found = re.search(r'id="gs-data">(.*?)</script>', self.html, re.DOTALL)
        assert found is not None
        return json.loads(found[1])

    def with_class(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for _, attributes in self.tags if name in (attributes.get("class") or "").split()]

    def _radio(self, field: str) -> bool:
        return self.inputs(field)[0]["type"] == "radio"


async def form(person: Person, path: str = "spawn", **query: Any) -> Form:
    answer = await person.session.get((person.hub.url / path).with_query(urlencode(query, doseq=True)))
    assert answer.status == 200, await answer.text()
    shown = Form(await answer.text())
    assert shown.inputs("workspace"), "the form is shown"
    return shown


def options(**options: Any) -> dict[str, Any]:
    return {f"opt-{key}": value for key, value in options.items()}


async def test_a_link_fills_the_form_in_and_starts_nothing(hub: RunningHub) -> None:
    ada = await hub.login("ada", "x")
    shown = await form(ada, **options(workspace="lab", profile="pytorch", gpu_class="medium", gpus=2, memory="4G"))
    assert shown.chosen("workspace", "profile", "gpu_class") == ["lab", "pytorch", "medium"]
    assert shown.chosen("gpus", "memory_gb", "cpu") == ["2", "4", ""]
    assert "A link has filled this form in." in shown.text
    assert hub.user("ada").spawner.pending is None
    assert not hub.user("ada").running


async def test_several_classes_in_a_link_are_an_order_of_preference(hub: RunningHub) -> None:
    ada = await hub.login("ada", "x")
    shown = await form(ada, **options(workspace="lab", profile="pytorch", gpu_class=["medium", "small"]))
    assert shown.chosen("gpu_class") == ["any"]
    assert shown.data["first"]["order"] == ["medium", "small"]


async def test_a_link_to_what_cannot_be_had_says_what_can(hub: RunningHub) -> None:
    bob = await hub.login("bob", "x")
    shown = await form(bob, **options(workspace="lab", profile="cpu"))
    assert "The link cannot be followed as it is." in shown.text
    assert "The workspace 'lab' is not on offer to your login. Choose from everyone." in shown.text
    assert shown.chosen("workspace") == ["everyone"]
    assert shown.chosen("profile") == ["cpu"]


async def test_no_link_of_any_kind_starts_a_server(hub: RunningHub) -> None:
    ada = await hub.login("ada", "x")
    for query in ({"opt-options": "{}"}, {"utm_source": "mail"}, {"opt-x": "<script>"}, {"profile": "cpu"}):
        await form(ada, **query)
        assert not hub.user("ada").active
    assert (await form(ada, profile="cpu")).chosen("profile") == ["cpu"]


async def test_the_form_of_another_server_begins_with_the_last_choice(hub: RunningHub) -> None:
    asked = {"workspace": "lab", "profile": "pytorch", "gpu_class": "medium", "memory": "4G"}
    assert await launch(hub, "ada", asked, "thesis") == ""
    ada = await hub.login("ada", "x")
    shown = await form(ada)
    assert shown.chosen("workspace", "gpu_class", "memory_gb") == ["lab", "medium", "4"]
    del hub.app.tornado_settings["gpuspawner_choices"]  # as after a restart
    shown = await form(ada, "spawn/ada/other")
    assert shown.chosen("workspace", "gpu_class", "memory_gb") == ["lab", "medium", "4"]


async def test_the_choice_of_a_launch_that_failed_is_still_there(hub: RunningHub) -> None:
    assert await launch(hub, "ada", {"workspace": "lab", "profile": "missing"}) != ""
    shown = await form(await hub.login("ada", "x"))
    assert shown.chosen("workspace", "profile") == ["lab", "missing"]


async def test_a_picture_is_shown_and_nothing_in_it_can_run(start_gpu_hub: StartHub, tmp_path: Path) -> None:
    file = tmp_path / "fire.svg"
    file.write_text(SVG)
    profiles = {
        "pytorch": {**SECTION["profiles"]["pytorch"], "icon": str(file), "includes": ["PyTorch 2.9"]},
        "cpu": {**SECTION["profiles"]["cpu"], "icon": "brain"},
        "crash": {**SECTION["profiles"]["crash"], "icon": str(tmp_path / "gone.png")},
    }
    hub = await start_gpu_hub(profiles=profiles)
    ada = await hub.login("ada", "x")
    shown = await form(ada)
    [picture] = [one for one in shown.with_class("gs-picture") if "src" in one]
    answer = await ada.session.get(hub.url.join(URL(str(picture["src"]))))
    assert (answer.status, answer.content_type, await answer.text()) == (200, "image/svg+xml", SVG)
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert shown.with_class("fa-brain")
    assert len(shown.with_class("gs-picture-letter")) == 1
    assert "PyTorch 2.9" in shown.text
    for name in ("cpu", "crash", "nothing"):
        assert (await ada.get(f"gpuspawner/pictures/{name}")).status == 404
    stranger = await hub.person().get("gpuspawner/pictures/pytorch", allow_redirects=False)
    assert stranger.status == 302
