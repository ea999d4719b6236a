"""What this process says of itself: one JSON object a line on standard error.

What libraries say is said likewise, from warnings up: below that some tell whole addresses, with
whatever stands in their queries.
"""

import logging
import sys

import msgspec
import structlog


def configure(level: str) -> None:
    """Say things of this level and above."""
    logging.basicConfig(handlers=[_Libraries()], level=logging.WARNING)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_serialized),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )


class _Libraries(logging.Handler):
    """Says what libraries say as everything else is said."""

    def emit(self, record: logging.LogRecord) -> None:
        """Say it once more."""
        said = structlog.get_logger()
        said.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info)


def _serialized(event: object, **_: object) -> bytes:
    return msgspec.json.encode(event, enc_hook=str)
