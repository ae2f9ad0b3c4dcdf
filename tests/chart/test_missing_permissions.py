"""`gpuspawner check --cluster` as the chart's service account: nothing is missing, or what is missing is named."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hub_account import Account, account_of
from rendered_roles import NAMESPACE, manifests

from gpuspawner.cli import main
from gpuspawner.permissions import Permission

SECTION: dict[str, Any] = {
    "namespace": NAMESPACE,
    "profiles": {"cpu": {"image": "example.org/notebook:1"}},
    "workspaces": {"everyone": {"members": "*"}},
}


@pytest.fixture(scope="module")
async def default(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Account]:
    async with account_of(manifests("default"), tmp_path_factory.mktemp("cluster")) as account:
        yield account


async def check(account: Account, folder: Path, more: str = "", **changes: Any) -> int:
    """Run the command in a thread, as it brings its own event loop; returns its exit status."""
    file = folder / "jupyterhub_config.py"
    section = {**SECTION, "connect": account.connect, **changes}
    file.write_text(f"c.GPUSpawner.update({section!r})\n{more}\n", encoding="utf-8")
    return await asyncio.to_thread(main, ["check", "--cluster", str(file)])


async def test_the_charts_account_lacks_nothing(
    default: Account, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await check(default, tmp_path) == 0
    assert "does not let" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("left_out", "said"),
    [
        (
            Permission("secrets", "create", ""),
            (
                "Kubernetes does not let this login create secrets in the namespace jupyter: no server starts. "
                "Where it is the hub's, add it to its Role."
            ),
        ),
        (Permission("pods/log", "get", ""), "get pods/log in the namespace jupyter: a launch that fails does not show"),
    ],
)
async def test_a_permission_that_is_missing_is_named_with_what_does_not_work(
    default: Account, tmp_path: Path, capsys: pytest.CaptureFixture[str], left_out: Permission, said: str
) -> None:
    with default.without(left_out):
        assert await check(default, tmp_path) == 0, "the cluster can be read"
    assert said in capsys.readouterr().out


async def test_what_the_configuration_asks_for_besides_is_named_in_one_sentence_for_each_resource(
    default: Account, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await check(default, tmp_path, "c.JupyterHub.internal_ssl = True", storage={"delete_with_user": True})
    told = [line for line in capsys.readouterr().out.splitlines() if "does not let" in line]
    assert len(told) == 2
    assert "list and delete persistentvolumeclaims in the namespace jupyter: the home of a deleted user" in told[0]
    assert "create, get and delete services in the namespace jupyter: no server starts; the Service of" in told[1]


async def test_namespaces_of_users_need_the_cluster_role(
    default: Account, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await check(default, tmp_path, user_namespaces={})
    told = capsys.readouterr().out
    assert "create and get namespaces in the whole cluster: nobody new gets a namespace" in told
    assert "create, get and delete secrets in the whole cluster" in told
    assert "add it to its ClusterRole" in told


async def test_a_login_that_sees_no_nodes_hears_all_that_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with account_of(manifests("own-namespace"), tmp_path / "cluster") as account:
        with account.without(Permission("secrets", "create", "")):
            assert await check(account, tmp_path) == 2
    told = capsys.readouterr()
    assert "Kubernetes does not let this login read nodes" in told.err
    assert "Kubernetes does not let this login create secrets in the namespace jupyter" in told.err
    assert "pods in the whole cluster" not in told.err, "that it sees one namespace only is no lack"
