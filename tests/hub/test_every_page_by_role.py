"""Every page for every role, and every post without the token against forged requests, over plain HTTP."""

import re
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
from every_page import ALL, EVERYBODY, routes
from full_hub import MEMBER, FullHub, full_hub

from gpuspawner.web import handlers

CHANGES = ("post", "put", "patch", "delete")


@pytest.fixture(scope="module")
async def full(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[FullHub]:
    """One hub for all of these."""
    async with full_hub(tmp_path_factory.mktemp("hub")) as running:
        yield running


def test_every_page_of_ours_is_in_the_list() -> None:
    paths = ["/" + page.path.partition("?")[0] for page in ALL]
    assert [pattern for pattern in routes() if not any(re.fullmatch(pattern, path) for path in paths)] == []


async def test_each_role_sees_its_pages_and_reads_why_it_does_not_see_the_others(full: FullHub) -> None:
    found, expected = {}, {}
    for name in sorted(EVERYBODY):
        person = await full.hub.login(name, "x")
        for page in ALL:
            answer = await person.session.get(full.url(page.seen_by(name)), allow_redirects=False)
            text = await answer.text()
            found[page.path, name] = answer.status
            expected[page.path, name] = 200 if name in page.readers else page.refused
            if page.path.startswith("gpuspawner/"):
                assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
            if answer.status == 403:
                assert 'href="/hub/home">Home</a>' in text
    assert found == expected


async def test_no_page_is_shown_to_nobody(full: FullHub) -> None:
    nobody = full.hub.person()
    for page in ALL:
        answer = await nobody.session.get(full.url(page.seen_by(MEMBER)), allow_redirects=False)
        assert answer.status == 302, page.path
        assert "/hub/login?next=" in answer.headers["Location"]


def _example(pattern: str) -> str:
    """A path that a pattern matches."""
    path = re.sub(r"\(\?:[^()]*(?:\([^()]*\)[^()]*)*\)\?", "", pattern)
    path = re.sub(r"\(\?P<\w+>[^()]*\)|\([^()]*\)", "ada", path)
    return path.replace("/?", "").replace("\\.", ".")


async def test_whatever_changes_something_is_refused_without_the_token_against_forgery(full: FullHub) -> None:
    person = await full.hub.login(MEMBER, "x")
    asked = []
    headers = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin", "Referer": full.url("home")}
    for route in handlers():
        path = _example(str(route[0]))
        assert re.fullmatch(str(route[0]), path), (route[0], path)
        for method in CHANGES:
            if getattr(route[1], method) is getattr(route[1].__mro__[-2], method, None):
                continue
            url = full.hub.url.with_path(f"/hub{path}")
            sent = {"json": {}} if path.startswith("/api/") else {"data": {"to": "/hub/home"}}
            answer = await person.session.request(method, url, headers=headers, **sent)
            text = await answer.text()
            if answer.status == 405:
                continue
            asked.append(path)
            assert answer.status == 403, (method, path, text)
            assert "_xsrf" in text, (method, path, text)
    assert len(asked) >= 5
    assert quote(MEMBER) in "".join(asked)
