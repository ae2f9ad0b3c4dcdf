"""Fixtures: a real JupyterHub, and the providers people log in at."""

from collections.abc import Iterator

import pytest
from chromium import browser, page
from hub_fixtures import engine, no_hub_in_the_environment, start_gpu_hub, start_hub
from identity_provider import IdentityProvider, identity_provider

__all__ = ["browser", "engine", "no_hub_in_the_environment", "page", "start_gpu_hub", "start_hub"]


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    """An OpenID Connect provider."""
    with identity_provider() as running:
        yield running


@pytest.fixture
def stored_logins(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """Traits of an authenticator that keeps what it was told, encrypted: what refreshing needs."""
    monkeypatch.setenv("JUPYTERHUB_CRYPT_KEY", "ab" * 32)
    return {"enable_auth_state": True}
