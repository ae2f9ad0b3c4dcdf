"""The Content-Security-Policy of the pages: nothing but the hub's own files, and no script or style in the page."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

__all__ = ["POLICY", "form_action", "policy"]

POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self' data:; "
    "connect-src 'self'; object-src 'none'; base-uri 'none'"
)
"""For every page, also JupyterHub's. Bootstrap's pictures are ``data:`` URLs in its style sheet."""


def form_action(settings: Mapping[str, Any]) -> str:
    """Where the forms of a page may lead, given tornado's settings: the hub, and its servers' own hosts.

    Browsers hold the redirects after a form to it as well, and a launch ends at the server. The pages of JupyterHub
    that let somebody in lead on to applications anywhere: they go without.
    """
    hub = urlsplit(settings.get("subdomain_host") or "")
    return f"form-action 'self' {hub.scheme}://*.{hub.netloc}" if hub.netloc else "form-action 'self'"


def policy(settings: Mapping[str, Any]) -> str:
    """The policy of a page of ours, for its header: a site's own (``template_vars``) comes first."""
    theirs = (settings.get("template_vars") or {}).get("gpuspawner_csp")
    return f"{POLICY}; {form_action(settings)}" if theirs is None or theirs == POLICY else str(theirs)
