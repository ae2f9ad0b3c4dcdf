"""What every handler of the REST API shares: who asks, what they may, what they sent, and errors as JSON."""

import json
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from jupyterhub.apihandlers.base import APIHandler
from pydantic import BaseModel
from tornado.web import HTTPError

from gpuspawner.errors import LaunchError
from gpuspawner.web.api.operations import Operations
from gpuspawner.web.asking import ApiError, Asking, BadBodyError, ForbiddenError, NotFoundError, UnavailableError

__all__ = ["ApiError", "ApiHandler", "BadBodyError", "ForbiddenError", "NotFoundError", "UnavailableError"]

M = TypeVar("M", bound=BaseModel)
_CODES = {400: "bad_request", 401: "not_logged_in", 403: "forbidden", 404: "not_found", 405: "method_not_allowed"}


class ApiHandler(Asking, APIHandler):  # type: ignore[misc]  # JupyterHub is untyped
    """A handler below ``/hub/api/gpuspawner/``, for logged-in users and tokens; XSRF is checked as JupyterHub does.

    Handlers stay thin: they find out who asks, call a pure function, and :meth:`answer`.
    """

    operations: ClassVar[Operations] = {}
    """What each method takes and answers; a test refuses a method that is not declared."""

    async def prepare(self) -> None:
        """Turn away whoever is nobody."""
        await super().prepare()
        if self.current_user is None:
            raise ForbiddenError(
                "This request is by nobody the hub knows.", "Log in, or send a token: Authorization: token TOKEN."
            )

    def body(self, model: type[M]) -> M:
        """The JSON body, checked. Raises ``BadBodyError`` with every mistake in it."""
        found = self.get_json_body()
        if found is not None and not isinstance(found, Mapping):
            raise BadBodyError("The body must be a JSON object.", "Send one, such as {}.")
        return self.checked(model, found or {})

    def answer(self, found: Any, status: int = 200) -> None:
        """Answer with JSON."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.write(json.dumps(found))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Tornado's; a refusal is not an error of the hub."""
        if isinstance(value, ApiError | LaunchError):
            self.log.info("%s %s: %s", self.request.method, self.request.path, value)
            return
        super().log_exception(typ, value, tb)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Tornado's; answers with ``code``, ``reason``, ``remedy``, and JupyterHub's ``status`` and ``message``."""
        error = (kwargs.get("exc_info") or (None, None, None))[1]
        super().write_error(status_code, **kwargs)  # rolls back the database, and sets headers
        self._write_buffer.clear()
        if isinstance(error, ApiError | LaunchError):
            self.set_status(error.status)
            told = {"code": error.code, "reason": error.reason, "remedy": error.remedy}
            checks = {"checks": [check.as_json() for check in error.checks]} if error.checks else {}
            if isinstance(error, LaunchError) and error.remedies:
                checks["remedies"] = [remedy.as_json() for remedy in error.remedies]
        else:
            told, checks = _told_of(status_code, error), {}
        message = f"{told['reason']} {told['remedy']}".rstrip()
        self.answer({**told, "status": self.get_status(), "message": message, **checks}, self.get_status())


def _told_of(status: int, error: BaseException | None) -> dict[str, str]:
    """What to say of an error that is none of ours; of one that nobody expected, nothing."""
    if isinstance(error, HTTPError):
        said = error.log_message or error.reason or ""
        if error.log_message and error.args:
            said = error.log_message % error.args
        return {"code": _CODES.get(status, "error"), "reason": said or "This is not possible.", "remedy": ""}
    return {
        "code": "internal",
        "reason": "Something went wrong inside the hub.",
        "remedy": "Tell the administrator; the log has it.",
    }
