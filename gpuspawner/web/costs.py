"""What a launch costs, as a page between form and start, for browsers without JavaScript."""

from typing import Any
from urllib.parse import urlsplit

from jupyterhub.handlers.base import BaseHandler
from jupyterhub.utils import url_path_join
from tornado.httputil import url_concat
from tornado.web import HTTPError, authenticated

from gpuspawner.budgets.estimate import estimate
from gpuspawner.errors import LaunchError
from gpuspawner.web.form import describe_launch
from gpuspawner.web.options import options_from_form

__all__ = ["CostPage"]


class CostPage(BaseHandler):  # type: ignore[misc]  # JupyterHub is untyped
    """Shows what the posted launch form asks for and costs, with a button that starts just that."""

    @authenticated
    async def post(self) -> None:
        """Nothing is started or held. ``to`` is where the form would have been posted.

        What cannot be understood goes on to the form's own page, which says so beside what was chosen.
        """
        spawner: Any = getattr(self.current_user, "spawner", None)
        if not hasattr(spawner, "request_for"):
            raise HTTPError(404)
        fields = {name: self.get_body_arguments(name) for name in self.request.body_arguments if name != "_xsrf"}
        form = self._spawn_page()
        action = url_concat(form, {"_xsrf": self.xsrf_token.decode("ascii")})
        try:
            request, settings = await spawner.request_for(options_from_form(fields))
        except LaunchError:
            self.redirect(action, status=307)  # with what was posted
            return
        await spawner.launcher.books.ready()
        page = await self.render_template(
            "cost.html",
            summary=describe_launch(request, settings.catalog),
            estimate=estimate(request, settings, spawner.launcher.accounts, spawner.launcher.now()),
            fields=[(name, value) for name, values in fields.items() for value in values],
            form=form,
            action=action,
        )
        self.finish(page)

    def _spawn_page(self) -> str:
        """The path of the form's page, of this hub and no other."""
        default: str = url_path_join(self.hub.base_url, "spawn")
        found: Any = urlsplit(self.get_query_argument("to", default))
        inside = found.path == default or found.path.startswith(f"{default}/")
        return found.path if inside and not found.netloc and not found.scheme else default
