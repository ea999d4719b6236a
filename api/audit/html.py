"""The report as one HTML file: to be mailed and printed; nothing in it runs or is fetched."""

from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from api.audit.report import Report

TEMPLATE: Final = "report.html"


def html(report: Report) -> str:
    """Write the report."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(report=report)
