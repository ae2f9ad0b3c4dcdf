"""What docs/how-to/helm.md says of mistakes, secrets and files is so."""

import re
from pathlib import Path
from typing import Any

import pytest
from helm_python import HelmRenderError
from mounted import mount
from rendering import CHART, decoded, render
from traitlets.config import Config

from gpuspawner import load_values
from gpuspawner.errors import ConfigurationError
from gpuspawner.values.document import SECRET_CONFIG

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "helm.md").read_text(encoding="utf-8")
TEXTS = [" ".join(block.split()) for block in re.findall(r"^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)]


def load(values: dict[str, Any], folder: Path) -> Config:
    c = Config()
    load_values(c, mount(render(values), "Deployment/gpuspawner-hub", "config", folder))
    return c


def test_a_secret_in_the_wrong_place_is_told_as_the_page_shows() -> None:
    with pytest.raises(HelmRenderError) as refused:
        render({"hub": {"config": {"GenericOAuthenticator": {"client_secret": "0123456789abcdef"}}}})
    assert TEXTS[0] in " ".join(str(refused.value).split())


def test_mistakes_that_only_the_hub_knows_are_told_as_the_page_shows(tmp_path: Path) -> None:
    config = {"JupyterHub": {"allow_named_server": True}, "GitHubOAuthenticator": {"client_id": "a"}}
    with pytest.raises(ConfigurationError) as refused:
        load({"hub": {"config": config}}, tmp_path)
    assert " ".join(str(refused.value).split()) == TEXTS[1]
    with pytest.raises(ConfigurationError) as refused:
        load({"hub": {"extraConfig": {"20-use-it": "c.GPUSpawner.notify_hook = mial"}}}, tmp_path)
    assert f"`{refused.value.problems[0]}`" in PAGE


def test_the_keys_of_the_secret_are_those_on_the_page(tmp_path: Path) -> None:
    values = {"hub": {"services": {"NAME": {}}}}
    secret = decoded(render(values).one("Secret", "secrets"))
    table = re.findall(r"^\| `([\w.-]+)` \| [^|]+ \| [^|]+ \|$", PAGE.partition("has these keys:")[2], re.MULTILINE)
    made = {key for key in secret if key.startswith("service-token.NAME") or "." not in key}
    assert set(table) == made | {SECRET_CONFIG}
    c = load(values, tmp_path)
    assert c.JupyterHub.cookie_secret.hex() == secret["cookie-secret"]
    assert c.ConfigurableHTTPProxy.auth_token == secret["proxy-token"]
    assert c.SharedPasswordAuthenticator.admin_password == secret["admin-password"]
    assert [key.hex() for key in c.CryptKeeper["keys"]] == [secret["crypt-keys"]]
    [service] = [one for one in c.JupyterHub.services if one["name"] == "NAME"]
    assert service["api_token"] == secret["service-token.NAME"]


def test_the_hubs_configuration_file_is_that_on_the_page() -> None:
    [block] = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert (CHART / "files" / "jupyterhub_config.py").read_text(encoding="utf-8") == block
