"""What the strict policy of the pages forbids is in none of them, ours or JupyterHub's."""

import re
from pathlib import Path

import pytest
from jupyterhub._data import DATA_FILES_PATH

from gpuspawner.web import static_dir, template_dir

OURS = {path.name: path for path in template_dir.glob("*.html")}
THEIRS = {path.name: path for path in Path(DATA_FILES_PATH, "templates").glob("*.html")}
INLINE = {
    "an inline script": re.compile(r"<script(?![^>]*(?:\bsrc=|type=\"application/json\"))[^>]*>"),
    "an inline style": re.compile(r"\sstyle=(?!\"\"|')|<style\b"),
    "an event handler": re.compile(r"\son[a-z]+="),
    "a javascript: address": re.compile(r"javascript:"),
}


def without_comments(text: str) -> str:
    return re.sub(r"{#.*?#}", "", text, flags=re.DOTALL)


@pytest.mark.parametrize("name", OURS)
def test_no_template_of_ours_has_what_the_policy_forbids(name: str) -> None:
    text = without_comments(OURS[name].read_text())
    if name == "token.html":
        text = text.replace("""replace('style="display: none;"'""", "")
    for what, pattern in INLINE.items():
        assert not pattern.search(text), f"{name} has {what}"


def test_what_jupyterhub_has_inline_is_overridden_by_a_template_of_ours() -> None:
    """Its home, spawn, pending and error pages, its login, its tokens and its administration."""
    found = {
        name
        for name, path in THEIRS.items()
        if any(pattern.search(without_comments(path.read_text())) for pattern in INLINE.values())
    }
    assert {"page.html", "login.html", "token.html", "admin.html", "not_running.html"} <= found
    assert found <= set(OURS)


@pytest.mark.parametrize("name", [path.name for path in static_dir.rglob("*.js")])
def test_no_module_sets_markup_from_what_it_was_sent(name: str) -> None:
    """``failure.innerHTML`` in pending.js takes the hub's own piece of a page, in which every value is escaped."""
    (path,) = static_dir.rglob(name)
    sets = r"[\w.]*\b(?:inner|outer)HTML(?=\s*\+?=(?!=))|insertAdjacentHTML|document\.write"
    uses = re.findall(sets, path.read_text())
    assert set(uses) <= ({"failure.innerHTML"} if name == "pending.js" else set())


@pytest.mark.parametrize("name", [path.name for path in static_dir.glob("*.css")])
def test_no_style_sheet_fetches_anything_from_elsewhere(name: str) -> None:
    assert not re.search(r"@import|url\((?!['\"]?data:)", (static_dir / name).read_text())
