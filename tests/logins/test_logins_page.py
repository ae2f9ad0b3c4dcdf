"""docs/how-to/logins.md: its examples start, and every trait in them is one."""

import logging
import re
from pathlib import Path

import pytest
from jupyterhub.app import JupyterHub
from small_hub import section
from traitlets.config import Config
from yarl import URL

from gpuspawner.authenticator import WorkspaceAuthenticator

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "logins.md").read_text(encoding="utf-8")
EXAMPLES = [example for example in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "configure(c)" in example]


def loaded(example: str, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setenv("OAUTH_CLIENT_SECRET", "secret")
    monkeypatch.setenv("HUB_PROXY_SECRET", "0123456789abcdef" * 4)
    c = Config({"GPUSpawner": {name: part for name, part in section().items() if name != "workspaces"}})
    exec(example, {"c": c})  # noqa: S102  # our own page
    return c


def test_there_is_one_for_each_kind() -> None:
    assert len(EXAMPLES) == 6


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_what_a_hub_can_start_with(
    example: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    c = loaded(example, monkeypatch)
    kind = JupyterHub(config=c).authenticator_class
    assert issubclass(kind, WorkspaceAuthenticator)
    monkeypatch.setenv("JUPYTERHUB_CRYPT_KEY", "ab" * 32)
    with caplog.at_level(logging.WARNING):
        authenticator = kind(config=c)
    assert not [record for record in caplog.records if "not recognized" in record.getMessage()]
    sections = set(c) - {"JupyterHub", "GPUSpawner"}
    assert sections <= set(kind.section_names())
    assert {trait for name in sections for trait in c[name]} <= set(authenticator.trait_names(config=True))


def test_addresses_in_it_are_nobodys() -> None:
    hosts = {URL(found).host or "" for found in re.findall(r"https?://[^\s\"')`$]+", PAGE)}
    real = {"canvas.instructure.com", "oauthenticator.readthedocs.io", "purl.imsglobal.org", "www.imsglobal.org"}
    assert {host for host in hosts - real if not host.endswith("example.edu")} == {"127.0.0.1"}
