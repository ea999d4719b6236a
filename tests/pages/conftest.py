"""What tests of the pages may ask for."""

from tests.pages.browsing import chromium, firm

__all__ = ["chromium", "firm"]
