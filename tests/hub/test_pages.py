"""The pages in a real JupyterHub: the form, the form after a refusal, the page of a launch under way, their files."""

import re
from typing import Any

import aiohttp
from running_hub import Person, RunningHub
from yarl import URL

from gpuspawner.local.engine import Engine


async def page_of(person: Person, path: str) -> str:
    answer = await person.get(path)
    assert answer.status == 200, await answer.text()
    return await answer.text()


def checked(page: str, name: str) -> list[str]:
    """The values of the checked radio buttons of a name."""
    return re.findall(rf'name="{name}"\s+value="([^"]*)"\s+checked', page)


async def test_the_form_offers_what_this_login_may_have_and_its_files_are_served(start_gpu_hub: Any) -> None:
    hub: RunningHub = await start_gpu_hub()
    ada, bob = await hub.login("ada", "x"), await hub.login("bob", "x")
    assert "The Lab" in await page_of(ada, "spawn/ada")
    page = await page_of(bob, "spawn/bob")
    assert "The Lab" not in page
    assert "2 of 2 free now" in page
    files = sorted(set(re.findall(r'(?:src|href)="(/hub/gpuspawner/static/[^"]*)"', page)))
    assert {"gpuspawner.css", "frame.js", "launch.css", "launch.js"} <= {file.rpartition("/")[2] for file in files}
    kinds = {"css": "text/css", "js": "text/javascript"}
    async with aiohttp.ClientSession() as session:
        for file in files:
            answer = await session.get(hub.url.join(URL(file)))
            assert answer.status == 200
            assert answer.content_type == kinds[file.rpartition(".")[2]]
            assert "max-age=" in answer.headers["Cache-Control"]
            plain = hub.url / "gpuspawner/static" / answer.url.name
            again = await session.get(plain, headers={"If-None-Match": answer.headers["Etag"]})
            assert (again.status, again.headers["Cache-Control"]) == (304, "no-cache")


async def test_a_refused_named_server_gets_its_own_form_back_with_what_was_chosen(start_gpu_hub: Any) -> None:
    hub: RunningHub = await start_gpu_hub()
    ada = await hub.login("ada", "x")
    fields = {"workspace": "lab", "profile": "pytorch", "gpu_class": "medium", "gpus": "4", "memory_gb": "12"}
    answer = await ada.submit("spawn/ada/thesis", fields, allow_redirects=False)
    page = await answer.text()
    assert "Not started: You asked for 4 GPUs" in page
    assert "For your server <strong>thesis</strong>" in page
    assert re.search(r'action="/hub/spawn/ada/thesis\?', page)
    assert [checked(page, name) for name in ("workspace", "profile", "gpu_class")] == [["lab"], ["pytorch"], ["medium"]]
    assert re.search(r'name="memory_gb"\s+value="12"', page)
    other = await page_of(ada, "spawn/ada")
    assert "thesis" not in other
    assert checked(other, "workspace") == ["everyone"]


async def test_the_page_of_a_launch_under_way_names_it_and_cancels_it(start_gpu_hub: Any, engine: Engine) -> None:
    hub: RunningHub = await start_gpu_hub(hub={"tornado_settings": {"slow_spawn_timeout": 0}})
    ada = await hub.login("ada", "x")
    answer = await ada.submit("spawn/ada/thesis", {"profile": "silent"}, allow_redirects=False)
    assert answer.status == 302
    page = await page_of(ada, "spawn-pending/ada/thesis")
    assert "Silent without a GPU, 1 CPU core, 2 GB, for 6 h" in page
    (server,) = re.findall(r'data-server-url="(/hub/api/[^"]*)"', page)
    assert server == "/hub/api/users/ada/servers/thesis"
    assert re.search(r'data-started="\d{4}-\d\d-\d\dT[0-9:.]+Z"', page)
    token = re.findall(r'name="_xsrf" value="([^"]*)"', page)[0]
    answer = await ada.session.delete(hub.url.with_path(server), headers={"X-XSRFToken": token})
    assert answer.status in (202, 204)
