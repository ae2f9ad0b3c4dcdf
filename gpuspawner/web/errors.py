"""A launch that was refused or failed, as a piece of a page."""

from jinja2 import Environment

from gpuspawner.errors import LaunchError

__all__ = ["html_of"]

_PIECE = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
    """\
<span class="gs-refusal"><strong class="gs-refusal-reason">{{ reason }}</strong>
{% if remedy %}
<span class="gs-refusal-remedy">{{ remedy }}</span>
{% endif %}
{% if detail %}
<details class="gs-refusal-detail"><summary>What the system said</summary><code>{{ detail }}</code></details>
{% endif %}
</span>"""
)


def html_of(error: LaunchError) -> str:
    """Reason, remedy and, folded away, the raw detail; every value is escaped.

    Fits where JupyterHub inserts ``jupyterhub_html_message``: in a paragraph of the spawn page, of the page of a
    failed launch, and in the event stream of the pending page.
    """
    return _PIECE.render(reason=f"Not started: {error.reason}", remedy=error.remedy, detail=error.detail.strip())
