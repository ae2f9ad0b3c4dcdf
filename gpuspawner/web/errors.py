"""A launch that was refused or failed, as a piece of a page, with a button for each launch that would start instead."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from jinja2 import Environment

from gpuspawner.errors import LaunchError, Remedy
from gpuspawner.web.options import OPTIONS

__all__ = ["FORM", "Button", "buttons_of", "html_of"]


@dataclass(frozen=True, slots=True)
class Button:
    """A remedy as a page shows it; ``value`` is what the button posts as ``options``."""

    label: str
    note: str
    value: str


FORM = "gs-remedies"
"""The id of the form on the same page to which the buttons belong; it has the server's address and the XSRF token."""

_PIECE = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
    """\
<span class="gs-refusal"><strong class="gs-refusal-reason">{{ reason }}</strong>
{% if remedy %}
<span class="gs-refusal-remedy">{{ remedy }}</span>
{% endif %}
{% if buttons %}
<span class="gs-remedies" role="group" aria-label="What would start instead">
{% for button in buttons %}
<button type="submit" form="{{ form }}" name="{{ field }}" value="{{ button.value }}"
 class="btn {{ "btn-primary" if loop.first else "btn-outline-primary" }} gs-remedy">{{ button.label }}
{%- if button.note %}
 <small class="gs-remedy-note">{{ button.note }}</small>
{%- endif -%}
</button>
{% endfor %}
</span>
{% endif %}
{% if detail %}
<details class="gs-refusal-detail"><summary>What the system said</summary><code>{{ detail }}</code></details>
{% endif %}
</span>"""
)


def html_of(error: LaunchError) -> str:
    """Reason, remedy and, folded away, the raw detail; every value is escaped.

    Fits where JupyterHub inserts ``jupyterhub_html_message``: in a paragraph of the spawn page, of the page of a
    failed launch, and in the event stream of the pending page. Each of them has the form of the buttons.
    """
    return _PIECE.render(
        reason=f"Not started: {error.reason}",
        remedy=error.remedy,
        detail=error.detail.strip(),
        buttons=buttons_of(error.remedies),
        form=FORM,
        field=OPTIONS,
    )


def buttons_of(remedies: Iterable[Remedy]) -> list[Button]:
    """The buttons of remedies."""
    return [Button(one.label, one.note, json.dumps(dict(one.options), sort_keys=True)) for one in remedies]
