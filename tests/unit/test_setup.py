"""The rules of the set-up: what counts as up to date, what is rebuilt, messages to the user, valid package lists."""

import importlib.util
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
LISTS = (
    *("local", "gpu", "dev", "models", "upstreams", "clients", "runtimes", "extractors", "peers", "go", "browser"),
    "uv",
)


def load(name: str) -> ModuleType:
    """`requirements/` is no package: its scripts run before any package is installed."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "requirements" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


steps = load("steps")
install = load("install")


def no_work() -> None:
    pass


@pytest.fixture
def make_step(tmp_path: Path) -> Callable[..., object]:
    """A step that is made from `input.txt` and the folder `input`, in a root of its own."""
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "a.txt").write_text("a")
    (tmp_path / "input.txt").write_text("one")
    (tmp_path / "outcome").touch()

    def make(name: str = "step", run: Callable[[], None] = no_work) -> object:
        return steps.Step(
            does="making an outcome",
            made_from=("input.txt", "input"),
            makes=tmp_path / "outcome",
            stamp=tmp_path / "stamps" / name,
            run=run,
            settings=("SETUP_TEST_SETTING",),
        )

    return make


def test_a_finished_step_is_done(make_step: Callable[..., object], tmp_path: Path) -> None:
    """A second set-up does nothing."""
    step = make_step()
    steps.run_step(step, tmp_path)

    assert steps.is_done(step, tmp_path)


def test_new_times_are_no_change(make_step: Callable[..., object], tmp_path: Path) -> None:
    """A fresh clone or a checkout to and fro changes times and not content."""
    step = make_step()
    steps.run_step(step, tmp_path)
    os.utime(tmp_path / "input.txt", (0, 0))

    assert steps.is_done(step, tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda root: (root / "input.txt").write_text("two"), id="content"),
        pytest.param(lambda root: (root / "input" / "b.txt").write_text("b"), id="another file"),
        pytest.param(lambda root: (root / "input" / "a.txt").unlink(), id="a file less"),
        pytest.param(lambda root: (root / "input" / "a.txt").rename(root / "input" / "c.txt"), id="another name"),
        pytest.param(lambda root: (root / "outcome").unlink(), id="outcome removed"),
    ],
)
def test_a_change_makes_a_step_due(
    make_step: Callable[..., object], tmp_path: Path, change: Callable[[Path], object]
) -> None:
    """What a step is made from, names included, and its outcome decide whether it is up to date."""
    step = make_step()
    steps.run_step(step, tmp_path)
    change(tmp_path)

    assert not steps.is_done(step, tmp_path)


def test_another_setting_makes_a_step_due(
    make_step: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index made for one embedder is not up to date for another."""
    step = make_step()
    steps.run_step(step, tmp_path)
    monkeypatch.setenv("SETUP_TEST_SETTING", "another")

    assert not steps.is_done(step, tmp_path)


def test_an_interrupted_install_makes_the_environment_anew(make_step: Callable[..., object], tmp_path: Path) -> None:
    """After an install that was cut short, the base and everything in it are due, finished steps too."""

    def be_interrupted() -> None:
        raise KeyboardInterrupt

    base, finished, cut_short = make_step("base"), make_step("finished"), make_step("cut", be_interrupted)
    steps.run_step(base, tmp_path)
    steps.run_step(finished, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        steps.run_step(cut_short, tmp_path)

    assert steps.due_steps([base, finished], base, tmp_path) == [base, finished]


def test_a_lost_network_spares_the_environment(make_step: Callable[..., object], tmp_path: Path) -> None:
    """pip and uv fetch everything before they install anything, so only the failed step is due."""

    def find_no_network() -> None:
        raise steps.NetworkError("no package source answers")

    base, offline = make_step("base"), make_step("offline", find_no_network)
    steps.run_step(base, tmp_path)
    with pytest.raises(steps.NetworkError):
        steps.run_step(offline, tmp_path)

    assert steps.due_steps([base, offline], base, tmp_path) == [offline]


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ("error: dns error: failed to lookup", "no package source answers"),
        ("WARNING: Retrying (Retry(total=1…\nERROR: No matching distribution found", "no package source answers"),
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES\n\n", "THESE PACKAGES DO NOT MATCH THE HASHES"),
        ("", "no output"),
    ],
)
def test_a_failure_is_one_line(log: str, told: str) -> None:
    """The user sees one line with the cause; the installer's own words are in the log."""
    message = str(install.explain(log, "installing"))

    assert told in message
    assert "\n" not in message


def test_too_little_disk_is_told_before_anything_starts(make_step: Callable[..., object]) -> None:
    """A disk that cannot hold the outcome is found before an hour's download, not after it."""
    step = steps.Step("filling", (), ROOT, ROOT, no_work, disk_gib=1e9)

    with pytest.raises(steps.SetupError, match="GiB are free"):
        install.check_disk([step])


def test_steps_are_made_from_what_exists() -> None:
    """A file that was renamed would silently stop to count."""
    missing = [entry for step in install.STEPS.values() for entry in step.made_from if not (ROOT / entry).exists()]

    assert missing == []


@pytest.mark.parametrize("name", LISTS)
def test_lists_pin_every_package_with_its_hashes(name: str) -> None:
    """What was tested is what is installed, to the byte."""
    packages = re.split(r"\n(?=[A-Za-z0-9])", (ROOT / "requirements" / f"{name}.txt").read_text())[1:]

    assert packages
    assert [
        entry for entry in packages if not re.match(r"[\w.-]+==\S+ \\\n    --hash=sha256:[0-9a-f]{64}", entry)
    ] == []


@pytest.mark.parametrize("name", [*LISTS, "torch"])
def test_lists_name_no_source(name: str) -> None:
    """Where packages come from is the machine's own matter; a list with a host or a path works on one machine only."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()

    assert re.findall(r"https?://|file:|--find-links|index-url|(?<!\w)/\w+", text) == []


@pytest.mark.parametrize("name", LISTS)
def test_lists_leave_out_what_text_does_not_need(name: str) -> None:
    """vLLM declares these for images and sound; beside a CPU build of torch they do not even import."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()

    assert re.findall(r"^(?:torchvision|torchaudio|torchcodec)==", text, re.MULTILINE) == []
