"""What every test may ask for."""

import atexit
import gc

from hypothesis import settings

from tests.databases import new_database, new_sqlite, postgres
from tests.running import (
    service,
    services_add_up,
    shared_service,
    shared_sqlite_service,
    sqlite_service,
)

settings.register_profile("untimed", deadline=None)  # a busy machine is no reason to fail
settings.load_profile("untimed")
atexit.register(gc.freeze)  # as the program does, and for its reason: see `api.cli.main`

__all__ = [
    "new_database",
    "new_sqlite",
    "postgres",
    "service",
    "services_add_up",
    "shared_service",
    "shared_sqlite_service",
    "sqlite_service",
]
