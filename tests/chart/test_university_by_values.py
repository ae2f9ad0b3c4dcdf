"""The values of docs/install.md on a real hub, as GitOps installs it: OpenID Connect, own secrets, PostgreSQL."""

import base64
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster import TINY_SERVER
from hub_process import HubProcess
from identity_provider import CLIENT, IdentityProvider, identity_provider, log_in_at_the_provider, words_of
from jupyterhub.utils import random_port
from launching import named
from rendering import merged, render
from running_engine import running_engine
from running_postgres import RunningPostgres
from stand_in_proxy import StandInProxy

PAGE = Path(__file__).parents[2] / "docs" / "install.md"
SECRETS = {
    "cookie-secret": "ab" * 32,
    "proxy-token": "token-of-the-proxy",
    "secret-config.json": json.dumps({"GenericOAuthenticator": {"client_secret": CLIENT["client_secret"]}}),
}


def on_the_page(name: str) -> dict[str, Any]:
    """The first file of this name on the page."""
    block = re.search(rf"^```yaml\n# {re.escape(name)}\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert block
    return dict(yaml.safe_load(block[1]))


def secret(name: str, **data: str) -> dict[str, Any]:
    """A Secret that the administrators have made."""
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": encoded}


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    """The university's OpenID Connect provider."""
    with identity_provider() as running:
        yield running


async def test_students_log_in_at_their_university_and_get_the_gpu_of_their_course(
    provider: IdentityProvider, postgres: RunningPostgres, tmp_path: Path
) -> None:
    images = {"*": (sys.executable, TINY_SERVER)}
    async with (
        running_engine(tmp_path / "engine", "a100=1x2 cpu=1", images, namespaces=["jupyter"]) as lab,
        StandInProxy(SECRETS["proxy-token"]) as proxy,
    ):
        lab.engine.write_kubeconfig(tmp_path / "kubeconfig")
        here = f"http://127.0.0.1:{random_port()}"
        endpoints = {**provider.endpoints(), "oauth_callback_url": f"{proxy.url}/hub/oauth_callback"}
        del endpoints["client_secret"]
        values = merged(
            on_the_page("values.yaml"),
            {
                "hub": {
                    "config": {
                        "GenericOAuthenticator": endpoints,
                        "JupyterHub": {"hub_bind_url": here, "hub_connect_url": here},
                        "ConfigurableHTTPProxy": {"api_url": proxy.api_url},
                    },
                    "existingSecret": "hub-secrets",
                    "database": {"type": "external", "existingSecret": "database"},
                }
            },
        )
        url = postgres.database()
        others = [secret("hub-secrets", **SECRETS), secret("database", **{"database-url": url})]
        process = HubProcess(render(values), tmp_path, proxy.url, others, KUBECONFIG=str(tmp_path / "kubeconfig"))
        async with process as hub:
            await provider.says("ada")
            await provider.says("grace", groups=["cse151a"])
            administrator, student = hub.person(), hub.person()
            assert (page := await log_in_at_the_provider(administrator, "ada")).status == 200, await words_of(page)
            assert (page := await log_in_at_the_provider(student, "grace")).status == 200, await words_of(page)
            assert (await administrator.get("admin")).status == 200
            assert (await student.get("admin")).status == 403

            async with student.session.post(
                hub.url / "api/users/grace/server", json={"workspace": "cse151a"}, headers=student.xsrf_header()
            ) as answer:
                assert answer.status in (201, 202), await answer.text()
            async with student.session.get(
                hub.url / "api/users/grace/server/progress", headers=student.xsrf_header()
            ) as stream:
                assert '"ready": true' in await stream.text()
            [pod] = named(lab.engine, "pods", "jupyter").values()
            assert pod["metadata"]["labels"]["gpuspawner/gpu-class"] == "a100"
            assert not [name for name in (tmp_path / "data").iterdir() if name.suffix == ".sqlite"]
    assert postgres.sql(url, "select name from users order by name").split() == ["ada", "grace"]
    assert "grace" in postgres.sql(url, "select * from gpuspawner_sessions")
