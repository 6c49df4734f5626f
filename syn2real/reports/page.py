"""Pages: self-contained HTML made of the templates beside this file."""

from typing import Any

from syn2real.reports import wording


def render(template: str, **values: Any) -> str:
    """A template of `templates/` as HTML. Every text from outside is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("syn2real.reports"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template(template).render(wording=wording, **values)
