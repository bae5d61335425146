"""A headless Chromium for the tests of pages; `make test` brings it, and playwright, into a folder of their own.

Nothing here is typed: playwright is no package of the environment.
"""

import importlib
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from load.processes import ROOT

FOLDER: Final = ROOT / ".data" / "tools" / "browser"
TIMEOUT_MS: Final = 30_000  # as patient as the other tests: a busy machine is slow, not broken


def find_missing() -> str | None:
    """Why there can be no browser; None if there is one."""
    if not (FOLDER / "playwright").is_dir():
        return "playwright is not in .data/tools/browser: `make test` installs it"
    if shutil.which(FOLDER / "chromium") is None:
        return "there is no Chromium: it is neither on the PATH nor among the machine's package sources"
    return None


def import_tool(name: str) -> Any:
    """A module of the folder, whose packages come after the environment's own."""
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))
    return importlib.import_module(name)


@contextmanager
def running_browser() -> Iterator[Any]:
    """A browser without windows, which reaches what the test asks it for alone."""
    with import_tool("playwright.sync_api").sync_playwright() as playwright:
        # In a container there are no namespaces for a sandbox, and the pages are our own.
        browser = playwright.chromium.launch(executable_path=str(FOLDER / "chromium"), args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()
