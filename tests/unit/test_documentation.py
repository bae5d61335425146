"""The pages that people read: links lead somewhere, targets and settings that they name exist, the README is short."""

import re
from pathlib import Path
from typing import Final

import pytest
import yaml

from load.processes import ROOT
from rag.config.environment import environment_name
from rag.config.settings import Settings

PAGES: Final = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "deploy").rglob("*.md"),
        *(ROOT / "load").rglob("*.md"),
    ]
)
README_LINES_MAX: Final = 150
_FENCED: Final = re.compile(r"^\s*```.*?^\s*```", re.MULTILINE | re.DOTALL)
_CODE: Final = re.compile(r"`[^`\n]*`")
_LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
_HEADING: Final = re.compile(r"^#+ (.+)$", re.MULTILINE)
_TARGET: Final = re.compile(r"\bmake ([a-z][a-z-]*)")
_SETTING: Final = re.compile(r"\bRAG_[A-Z_]+[A-Z]\b")
# The Makefile's own, read by the evaluation.
OF_THE_EVALUATION: Final = {"RAG_EVAL_DATA", "RAG_EVAL_VERIFICATION_DATA"}
# A history names what is gone, and a runbook what is none (test_runbook.py has its settings).
TIMELESS: Final = [page for page in PAGES if page.name not in ("CHANGELOG.md", "RUNBOOK.md")]


def name_page(page: Path) -> str:
    return str(page.relative_to(ROOT))


def read_prose(page: Path) -> str:
    """Without what stands in fences."""
    return _FENCED.sub("", page.read_text("utf-8"))


def find_links(page: Path) -> list[str]:
    """Those that stay inside the project."""
    prose = _CODE.sub("", read_prose(page))
    return [link for link in _LINK.findall(prose) if "://" not in link and not link.startswith("mailto:")]


def find_anchors(page: Path) -> set[str]:
    """What the headings of a page are called in a link to them: small letters, hyphens, no punctuation."""
    headings = (heading.lower() for heading in _HEADING.findall(read_prose(page)))
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}


def test_there_are_pages() -> None:
    """A glob that finds nothing would let all of this pass."""
    assert {"README.md", "docs/README.md", "deploy/RUNBOOK.md"} <= set(map(name_page, PAGES))


@pytest.mark.parametrize("page", PAGES, ids=name_page)
def test_links_lead_to_files_and_headings_of_the_project(page: Path) -> None:
    """Relative ones, with their anchors."""
    dead = []
    for link in find_links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not (target.is_relative_to(ROOT) and target.exists()) or (anchor and anchor not in find_anchors(target)):
            dead.append(link)

    assert dead == []


@pytest.mark.parametrize("page", TIMELESS, ids=name_page)
def test_targets_and_settings_that_a_page_names_exist(page: Path) -> None:
    """In fences too."""
    text = page.read_text("utf-8")
    makefile = (ROOT / "Makefile").read_text("utf-8")
    named = {span for code in re.findall(r"`([^`\n]+)`|^(make .*)$", text, re.MULTILINE) for span in code if span}

    targets = {target for span in named for target in _TARGET.findall(span)}
    settings = set(_SETTING.findall(text))

    assert targets <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert settings - OF_THE_EVALUATION <= {environment_name(field) for field in Settings.model_fields}


def test_the_index_names_every_page() -> None:
    """Of `docs/`."""
    linked = {link.partition("#")[0] for link in find_links(ROOT / "docs" / "README.md")}

    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"} <= linked


def test_the_readme_can_be_read_at_once() -> None:
    """Details have pages of their own."""
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= README_LINES_MAX


def test_continuous_integration_runs_what_the_project_runs() -> None:
    """One script says what is tested; the workflow only calls it."""
    (job,) = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))["jobs"].values()

    assert ".ci/run" in [step.get("run") for step in job["steps"]]


def test_hooks_fetch_nothing() -> None:
    """They run the tools of the project's own environment."""
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))

    assert {each["repo"] for each in config["repos"]} == {"local"}
    assert all(hook["language"] == "system" for each in config["repos"] for hook in each["hooks"])
