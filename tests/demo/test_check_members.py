"""What `gpuspawner check` says of rosters and of rules that can never match."""

from pathlib import Path

import pytest

from gpuspawner.cli import main

HUB = """
from gpuspawner import with_workspaces
c.JupyterHub.authenticator_class = {authenticator}
c.GPUSpawner.profiles = {{"cpu": {{"image": "notebook"}}}}
c.GPUSpawner.workspaces = {{"lab": {{"members": {members}}}}}
"""


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)

    def check(members: str, authenticator: str = "with_workspaces('dummy')") -> tuple[int, str]:
        Path("jupyterhub_config.py").write_text(HUB.format(members=members, authenticator=authenticator))
        status = main(["check"])
        told = capsys.readouterr()
        assert not told.err
        return status, told.out

    return check


def test_a_roster_with_a_mistake_is_told_with_its_line(check, tmp_path):
    (tmp_path / "people.csv").write_text("user,role\nada,member\nbob,boss\n")
    status, told = check([{"roster": "people.csv"}, {"any": [{"roster": "gone.csv"}]}])
    assert status == 1
    assert "roster people.csv: line 3: found 'boss' as role, allowed: member, manager, auditor, administrator" in told
    assert "roster gone.csv: cannot be read: No such file or directory" in told
    assert "jupyterhub_config.py: 2 mistakes." in told


def test_a_sound_roster_is_no_mistake_and_a_column_hardly_meant_is_noted(check, tmp_path):
    (tmp_path / "people.csv").write_text("user,rol\nada,member\n")
    status, told = check([{"roster": "people.csv"}])
    assert status == 0
    assert "Note: roster people.csv: the column 'rol' is not read; is 'role' meant?" in told


def test_rules_that_can_never_match_are_noted(check):
    status, told = check(["Ada", {"claim": "groups", "equals": "staff"}])
    assert status == 0
    assert "Note: c.GPUSpawner.workspaces['lab'].members[0]: can never match: a login as 'Ada' is called 'ada'" in told
    assert (
        "Note: c.GPUSpawner.workspaces['lab'].members[1]: can never match: of claims the authenticator tells none"
        in told
    )


def test_rules_that_nobody_looks_at_are_noted(check):
    words = "is not with_workspaces(...): nobody looks at them"
    assert words in check([{"not": {"claim": "groups", "equals": "staff"}}], "'dummy'")[1]
    assert words not in check(["ada"], "'dummy'")[1]
    assert words not in check([{"claim": "groups", "equals": "staff"}])[1]


TRUSTS_HEADERS = "with_workspaces('trusted-header')\nc.TrustedHeaderAuthenticator.proxy_secrets = {}"


def test_a_login_by_headers_that_anybody_could_write_is_a_mistake(check):
    rule = {"claim": "isMemberOf", "equals": "x"}
    status, told = check([rule], TRUSTS_HEADERS.format(["short"]))
    assert status == 1
    assert "c.TrustedHeaderAuthenticator.proxy_secrets[0]: found 5 characters, allowed: at least 32" in told
    assert "1 mistake." in told
    status, told = check([rule], TRUSTS_HEADERS.format("7"))
    assert status == 1
    assert "c.TrustedHeaderAuthenticator: The 'proxy_secrets' trait" in told
    status, told = check([rule], TRUSTS_HEADERS.format("['s' * 32]"))
    assert status == 0
