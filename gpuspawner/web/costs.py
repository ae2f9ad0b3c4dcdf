"""What a launch costs, as a page between form and start, for browsers without JavaScript."""

from typing import Any
from urllib.parse import urlsplit

from jupyterhub.handlers.base import BaseHandler
from jupyterhub.utils import url_path_join
from tornado.httputil import url_concat
from tornado.web import HTTPError, authenticated

from gpuspawner.errors import LaunchError
from gpuspawner.estimate import estimate
from gpuspawner.web.form import describe_launch
from gpuspawner.web.options import options_from_form

__all__ = ["CostPage"]


class CostPage(BaseHandler):  # type: ignore[misc]  # JupyterHub is untyped
    """Shows what the posted launch form asks for and costs, with a button that starts just that."""

    @authenticated
    async def post(self) -> None:
        """Nothing is started or held. ``to`` is where the form would have been posted."""
        spawner: Any = getattr(self.current_user, "spawner", None)
        if not hasattr(spawner, "request_for"):
            raise HTTPError(404)
        fields = {name: self.get_body_arguments(name) for name in self.request.body_arguments if name != "_xsrf"}
        error, found, summary = None, None, ""
        try:
            request, settings = await spawner.request_for(options_from_form(fields))
            await spawner.launcher.books.ready()
            found = estimate(request, settings, spawner.launcher.accounts, spawner.launcher.now())
            summary = describe_launch(request, settings.catalog)
        except LaunchError as refusal:
            error = refusal
        form = self._spawn_page()
        page = await self.render_template(
            "cost.html",
            error=error,
            summary=summary,
            estimate=found,
            fields=[(name, value) for name, values in fields.items() for value in values],
            form=form,
            action=url_concat(form, {"_xsrf": self.xsrf_token.decode("ascii")}),
        )
        self.finish(page)

    def _spawn_page(self) -> str:
        """The path of the form's page, of this hub and no other."""
        default: str = url_path_join(self.hub.base_url, "spawn")
        found: Any = urlsplit(self.get_query_argument("to", default))
        inside = found.path == default or found.path.startswith(f"{default}/")
        return found.path if inside and not found.netloc and not found.scheme else default
