"""Downloads switched off, in a real JupyterLab that a real hub has started with the chart's settings."""

import importlib.util
import json
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hub_fixtures import StartHub
from launching import launch
from playwright.async_api import Page, expect
from rendered_servers import settings_of
from rendering import CHART, render
from tornado.httputil import HTTPServerRequest, RequestStartLine

from gpuspawner.local.engine import Engine

MINUTE = 60_000
VALUES = {"zone": "restricted", "restrictedZone": {"downloads": False}, "singleuser": {"namespace": "default"}}
FILES = CHART / "files" / "notebook"
GONE = re.compile("download|export notebook|browser tab|print", re.IGNORECASE)
FETCHED = """async (path) => {
  const answer = await fetch(path);
  return [answer.status, await answer.text()];
}"""


@pytest.fixture(scope="module")
def extension() -> ModuleType:
    """The extension of the notebook server, as servers import it."""
    spec = importlib.util.spec_from_file_location("no_downloads", FILES / "gpuspawner_no_downloads.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("target", "refused"),
    [
        ("/user/ada/files/data.csv", True),
        ("/user/ada/files/lab/deep/data.csv?download=1", True),
        ("/user/ada//files/data.csv", True),
        ("/user/ada/%66iles/data.csv", True),
        ("/user/%61da/files/data.csv", True),
        ("/files/data.csv", True),
        ("/user/ada/view/data.csv", True),
        ("/user/ada/nbconvert/html/a.ipynb", True),
        ("/user/ada/directories/all", True),
        ("/user/ada/proxy/8000/data.csv", True),
        ("/user/ada/proxy/absolute/8000/", True),
        ("/user/ada/voila/files/data.csv", True),
        ("/user/ada/lab/api/licenses?download=true", True),
        ("/user/ada/anything?download=0&download=1", True),
        ("/user/ada/anything?download=0", False),
        ("/user/ada/lab", False),
        ("/user/ada/lab/tree/files/data.csv", False),
        ("/user/ada/api/contents/files/data.csv", False),
        ("/user/ada/api/nbconvert", False),
        ("/user/ada/tensorboard/", False),
        ("/user/ada/filesystem", False),
        ("/user/ada/", False),
    ],
)
def test_what_is_refused(extension: ModuleType, target: str, refused: bool) -> None:
    request = HTTPServerRequest(start_line=RequestStartLine("GET", target, "HTTP/1.0"))
    assert (extension.Download("/user/ada/").match(request) is not None) is refused


def test_every_plugin_that_is_switched_off_is_one_that_jupyterlab_has() -> None:
    settings = json.loads((FILES / "page_config.json").read_text())
    assert settings["disabledExtensions"] == settings["lockedExtensions"]
    static = Path(sys.prefix, "share", "jupyter", "lab", "static")
    known = "".join(file.read_text(errors="replace") for file in static.glob("*.js"))
    ours = [name for name in settings["disabledExtensions"] if name.startswith("@jupyterlab/")]
    assert len(ours) >= 6
    assert not [name for name in ours if name not in known]


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    """An engine whose image is JupyterLab as JupyterHub runs it."""
    image = (sys.executable, "-m", "jupyterhub.singleuser", "--allow-root", "--LabApp.expose_app_in_browser=True")
    running = Engine(nodes="cpu=1", images={"*": image}, data_dir=tmp_path / "engine", stop_grace=1.0)
    await running.start()
    yield running
    await running.stop()


async def test_whoever_works_in_jupyterlab_finds_no_download_and_the_server_serves_none(
    engine: Engine, start_gpu_hub: StartHub, page: Page, tmp_path: Path
) -> None:
    manifests = render(VALUES)
    engine.store.create("configmaps", manifests.one("ConfigMap", "notebook"))
    patch: dict[str, Any] = dict(settings_of(manifests).pod_template)
    hub = await start_gpu_hub(pod_template=patch, storage={"size": "1Gi"})
    await hub.login("ada", "any")
    assert not await launch(hub, "ada", {"profile": "cpu"})
    home = next((tmp_path / "engine" / "volumes" / "default").iterdir())
    (home / "results.csv").write_text("patient,age\n")
    (home / "work.ipynb").write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    told = home / ".jupyter"
    told.mkdir()
    (told / "jupyter_server_config.py").write_text("c.ServerApp.jpserver_extensions = {}\nc.Nope = 1 / 0\n")

    token = (await (await hub.api("POST", "users/ada/tokens")).json())["token"]
    await page.context.set_extra_http_headers({"Authorization": f"token {token}"})
    server = str(hub.user("ada").spawner.server.url)
    await page.goto(f"{server}lab/tree/work.ipynb?reset")
    await page.get_by_role("dialog").get_by_role("button", name="No Kernel").click(timeout=MINUTE)
    listed = page.locator(".jp-DirListing-item", has_text="results.csv")
    await expect(listed).to_be_visible(timeout=MINUTE)

    await listed.click(button="right")
    menu = page.get_by_role("menu")
    await expect(menu.get_by_role("menuitem", name="Rename")).to_be_visible()
    assert not [text for text in await menu.get_by_role("menuitem").all_inner_texts() if GONE.search(text)]
    await page.keyboard.press("Escape")
    await page.get_by_role("menuitem", name="File", exact=True).click()
    await expect(menu.get_by_text("Save Notebook", exact=True)).to_be_visible()
    assert not [text for text in await menu.get_by_role("menuitem").all_inner_texts() if GONE.search(text)]
    commands = await page.evaluate("window.jupyterapp.commands.listCommands()")
    assert "filebrowser:rename" in commands
    wanted = re.compile("download|open-browser-tab|export-to-format|print")
    assert not [command for command in commands if wanted.search(command)]

    notebook_7 = await page.context.new_page()
    await notebook_7.goto(f"{server}tree")
    await notebook_7.locator(".jp-DirListing-item", has_text="results.csv").click(timeout=MINUTE)
    offered = notebook_7.locator(".jp-FileBrowser")
    await expect(offered.get_by_text("Duplicate", exact=True)).to_be_visible()
    assert not GONE.search(await offered.inner_text())

    for path in ("files/results.csv", "files/results.csv?download=1", "nbconvert/html/work.ipynb", "proxy/8000/"):
        status, said = await page.evaluate(FETCHED, server + path)
        assert (status, said[:26]) == (403, "Files cannot be downloaded"), path
    status, said = await page.evaluate(FETCHED, f"{server}api/contents/results.csv")
    assert (status, json.loads(said)["content"]) == (200, "patient,age\n")
