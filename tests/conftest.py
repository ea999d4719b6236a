"""What every test may ask for."""

from tests.databases import new_database, new_sqlite, postgres
from tests.running import service, shared_service, shared_sqlite_service, sqlite_service

__all__ = [
    "new_database",
    "new_sqlite",
    "postgres",
    "service",
    "shared_service",
    "shared_sqlite_service",
    "sqlite_service",
]
