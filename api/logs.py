"""What this process says of itself: one JSON object a line on standard error."""

import logging
import sys

import msgspec
import structlog


def configure(level: str) -> None:
    """Say things of this level and above."""
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


def _serialized(event: object, **_: object) -> bytes:
    return msgspec.json.encode(event, enc_hook=str)
