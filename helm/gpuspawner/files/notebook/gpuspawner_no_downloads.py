"""An extension of the notebook server that refuses whatever hands out files as such; it needs no gpuspawner there."""

from urllib.parse import unquote

from tornado.routing import Matcher, Rule
from tornado.web import RequestHandler

__all__ = ["Download", "Refusal"]

WORDS = (
    "Files cannot be downloaded from this server. The administrator of this hub has switched downloads off. "
    "Ask whoever is responsible for the data how results may leave the zone.\n"
)
FOLDERS = {"files", "view", "nbconvert", "directories", "archive-download", "proxy"}
"""Below the server's base URL: files as they are, nbclassic's view of them, exported notebooks, whole folders
(jupyter-archive), and any port of the server (jupyter-server-proxy)."""
NO = {b"", b"0", b"false"}


class Refusal(RequestHandler):
    """Answers 403, whatever is asked."""

    def prepare(self):
        """Answers before anything else of a request is looked at."""
        self.set_status(403)
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.finish(WORDS)


class Download(Matcher):
    """Matches requests that ask for a download, of a server whose base URL has a slash at both ends."""

    def __init__(self, base_url):
        self._base = _segments(base_url)

    def match(self, request):
        """Tornado's matchers return the handler's arguments, or None."""
        path = _segments(unquote(request.path))
        below = path[len(self._base) :] if path[: len(self._base)] == self._base else path
        refused = below and (below[0] in FOLDERS or below[:2] == ["voila", "files"])
        asked = any(value.strip().lower() not in NO for value in request.query_arguments.get("download", ()))
        return {} if refused or asked else None


def _segments(path):
    return [segment for segment in path.split("/") if segment]


def _jupyter_server_extension_points():
    return [{"module": "gpuspawner_no_downloads"}]


def _load_jupyter_server_extension(app):
    # First of all rules, also of those that extensions add after this one.
    app.web_app.default_router.rules.insert(0, Rule(Download(app.base_url), Refusal))
