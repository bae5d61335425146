"""deploy/RUNBOOK.md: everything that its commands name exists, and the programs accept the commands.

Nobody should find out at three in the morning that a Deployment has been renamed.
"""

import importlib
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from textwrap import dedent
from typing import Final

import pytest
import yaml

from load.processes import ROOT
from rag.config.environment import SettingsError, environment_name, load_settings
from rag.config.settings import Settings
from schemas.errors import ErrorCode
from tests.unit.kubernetes_manifests import COMPONENT, KUBECTL, NAME, OVERLAYS, render
from tests.unit.test_prometheus import ALERTS, OTHERS, OURS, RECORDED, VLLMS
from tests.watched import GRAFANA, list_names

RUNBOOK: Final = (ROOT / "deploy" / "RUNBOOK.md").read_text("utf-8")
SECTIONS: Final = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL))
SITUATIONS: Final = [title for title in SECTIONS if title != "First"]
# A port that nobody listens on: kubectl reads all of a command before it finds out.
NOWHERE: Final = "http://127.0.0.1:9"
# What the shell would put in, as far as a command's meaning depends on it.
VARIABLES: Final = {"NS": "rag", "TENANT": "demo", "tenant": "demo", "URL": NOWHERE, "OLD": NOWHERE, "NEW": NOWHERE}
# The programs that the runbook calls with `python -m`, and what reads their arguments.
READERS: Final = {
    "rag.preflight": "rag.preflight.command:parse_arguments",
    "rag.ingestion": "rag.ingestion.arguments:parse_arguments",
    "load.gate": "load.gate.options:parse_options",
}
# What kubectl calls an object, by what the files call it.
KINDS: Final = {
    "Deployment": "deployment",
    "Service": "service",
    "CronJob": "cronjob",
    "Ingress": "ingress",
    "HTTPRoute": "httproute",
    "HorizontalPodAutoscaler": "hpa",
    "PersistentVolumeClaim": "pvc",
    "NetworkPolicy": "networkpolicy",
}
# A setting that nobody has: one stands for any, the other is shown as an error.
NO_SETTINGS: Final = {"RAG_X", "RAG_TYPO"}

# Verbs of kubectl that have verbs of their own.
GROUPS: Final = {"create", "rollout", "set"}
# What it says of a command with which nothing else is wrong.
AT_LAST: Final = re.compile("was refused|connection refused|no objects passed|no such file")

# The words of one simple command, without what a pipe or a redirection joins to it.
Command = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Named:
    """An object that a kubectl command names; `kind` in small letters."""

    kind: str
    name: str


def read_blocks() -> Iterator[str]:
    """What is to be pasted, without comments and with the variables filled in."""
    for _, block in re.findall(r"^( *)```sh\n(.*?)\n\1```", RUNBOOK, re.MULTILINE | re.DOTALL):
        yield fill_in(dedent(block))
    for inline in re.findall(r"`((?:k|c|front|writer) [^`…]+)`", RUNBOOK):
        yield fill_in(" ".join(inline.split()))


def fill_in(text: str) -> str:
    text = re.sub(r"(?m)  +# .*$", "", text).replace("\\\n", " ")
    text = re.sub(r"\$\(jq [^)]*\)", r'[\\"true\\"]', text)
    text = re.sub(r"\$\{\d:-(\w+)\}", r"\1", text)
    return re.sub(r"\$(\w+)", lambda found: VARIABLES.get(found[1], found[0]), text)


def split(block: str) -> Iterator[Command]:
    """The simple commands of some lines of shell."""
    lexer = shlex.shlex(block, posix=True, punctuation_chars="();<>|&\n")
    lexer.whitespace = " \t"
    lexer.whitespace_split = True
    lexer.commenters = ""
    command: list[str] = []
    for word in [*lexer, "\n"]:
        if set(word) <= set("();<>|&\n"):
            if command and word != "()":  # what stands before them is the name of a function
                yield tuple(command)
            command = []
        elif command or not re.fullmatch(r"[{}]|do|done|then|\w+=.*", word, re.DOTALL):
            command.append(word)


COMMANDS: Final = list(dict.fromkeys(command for block in read_blocks() for command in split(block)))


def list_kubectl() -> Iterator[Command]:
    """The arguments of kubectl, in each command that is one for it."""
    for program, *arguments in COMMANDS:
        if program == "k":
            yield ("-n", "rag", *arguments)
        elif program == "kubectl" and arguments[-1] != "$@":
            yield tuple(arguments)


def list_modules() -> Iterator[tuple[str, Command]]:
    """Each `python -m`, wherever it runs, and its arguments."""
    for command in COMMANDS:
        if "-m" in command and any(word.endswith("python") for word in command):
            at = command.index("-m")
            yield command[at + 1], command[at + 2 :]


def list_promql() -> list[str]:
    return [arguments[0] for program, *arguments in COMMANDS if program == "pql"]


KUBECTLS: Final = [*list_kubectl()]
# Those that are about this namespace, and not about where Prometheus runs.
OURS_IN_CLUSTER: Final = [command for command in KUBECTLS if command[:2] == ("-n", "rag")]


def list_known() -> set[Named]:
    """All that the files make or ask for, in any overlay, and the jobs that the runbook itself makes."""
    known = set()
    for overlay in (*OVERLAYS, "gateway/stable"):
        rendered = render(overlay)
        known |= {
            Named(KINDS[each["kind"]], each["metadata"]["name"]) for each in rendered.objects if each["kind"] in KINDS
        }
        for container in rendered.containers():
            known |= {
                Named("secret", each["secret"]["secretName"]) for each in container.pod["volumes"] if "secret" in each
            }
            sources = (each.get("valueFrom") or {} for each in container.spec["env"])
            known |= {Named("secret", each["secretKeyRef"]["name"]) for each in sources if "secretKeyRef" in each}
    made = (command for command in OURS_IN_CLUSTER if command[2:4] == ("create", "job"))
    return known | {Named("job", command[4]) for command in made}


def list_named(command: Command) -> Iterator[Named]:
    """`kind/name`, and `verb kind name`."""
    kinds = {*KINDS.values(), "secret", "job"}
    for word in command:
        kind, _, name = word.rpartition("/")
        if kind.removeprefix("--from=") in kinds:
            yield Named(kind.removeprefix("--from="), name)
    _, _, verb, *rest = command
    if (
        verb in ("get", "patch", "annotate", "describe", "delete")
        and len(rest) > 1
        and rest[0] in kinds
        and rest[1][0] != "-"
    ):
        yield Named(rest[0], rest[1])


def ask_kubectl(command: Command) -> str:
    done = subprocess.run(
        [KUBECTL, f"--server={NOWHERE}", *command],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr


def list_flags(command: Command) -> Iterator[str]:
    """Its flags, those with a value after `=` without it; of a format, what it is."""
    for word, before in zip(command, ("", *command), strict=False):
        if before == "-o":
            yield word
        elif word.startswith("-"):
            yield word.partition("=")[0]


def find_option(command: Command, *names: str) -> Iterator[str]:
    """The values of an option that stand in a word of their own."""
    for name, value in pairwise(command):
        if name in names:
            yield value


def test_kubectl_understands_every_command() -> None:
    """It reads verbs, flags and output formats, and fails at last because there is no cluster, or no input."""
    # One of those that differ in what they name alone: each takes a tenth of a second.
    shapes = {
        (command[2:4] if command[2] in GROUPS else command[2], *list_flags(command)): command for command in KUBECTLS
    }
    with ThreadPoolExecutor(4) as pool:
        answers = {" ".join(command): pool.submit(ask_kubectl, command) for command in shapes.values()}

    strange = {command: answer.result() for command, answer in answers.items() if not AT_LAST.search(answer.result())}

    assert len(shapes) > 30
    assert not strange


def test_kubectl_is_asked_about_what_the_files_make() -> None:
    """Deployments, CronJobs, Secrets and all else by the names that they have in some overlay."""
    named = {each for command in OURS_IN_CLUSTER for each in list_named(command)}

    assert len(named) > 10
    assert named - list_known() == set()


def test_labels_and_containers_are_those_of_the_pods() -> None:
    """A selector that fits nothing is no error for kubectl, only an empty answer."""
    labels, containers = set(), set()
    for overlay in OVERLAYS:
        for container in render(overlay).containers():
            labels |= {f"{key}={container.labels[key]}" for key in (NAME, COMPONENT)}
            containers.add(container.spec["name"])
    selectors = [selector for command in OURS_IN_CLUSTER for selector in find_option(command, "-l")]

    assert {label for selector in selectors for label in selector.split(",")} <= labels
    assert {each for command in OURS_IN_CLUSTER for each in find_option(command, "-c")} <= containers


def test_compose_has_the_services() -> None:
    """`c exec`, `c run`, `c logs`, `c restart` and `c up` end, or go on, with a service of the file."""
    services = yaml.safe_load((ROOT / "deploy" / "compose" / "compose.yaml").read_text("utf-8"))["services"]
    asked = [arguments for program, *arguments in COMMANDS if program == "c"]

    assert asked
    assert all(services.keys() & set(arguments) for arguments in asked)


@pytest.mark.parametrize("query", list_promql())
def test_every_series_is_there(query: str) -> None:
    """PromQL that parses, about metrics of ours, of vLLM, of the alerts' own rules or of the usual exporters."""
    assert list_names(query) <= OURS.keys() | VLLMS | RECORDED | OTHERS


@pytest.mark.parametrize(("module", "arguments"), [*dict.fromkeys(list_modules())])
def test_every_module_takes_its_arguments(module: str, arguments: Command) -> None:
    """By the reader that the module itself has."""
    home, _, name = READERS[module].partition(":")
    read: Callable[[list[str]], object] = getattr(importlib.import_module(home), name)

    assert read([word for word in arguments if word != "$@"])


def test_every_path_can_be_reached() -> None:
    """Clients' URLs pass the Ingress, which has a list."""
    (ingress,) = render("base").of("Ingress")
    (rule,) = ingress["spec"]["rules"]
    exact = {each["path"] for each in rule["http"]["paths"] if each["pathType"] == "Exact"}
    below = tuple(each["path"] for each in rule["http"]["paths"] if each["pathType"] == "Prefix")

    paths = set(re.findall(r"\$URL(/[\w/]+)", RUNBOOK))

    assert paths >= {"/health", "/ready", "/query", "/query/stream", "/models/current"}
    assert all(path in exact or path.startswith(below) for path in paths)


def test_every_setting_is_there_and_takes_its_value() -> None:
    """Those that are set, taken back or read."""
    known = {environment_name(field) for field in Settings.model_fields}
    named = set(re.findall(r"\bRAG_[A-Z0-9_]+\b", RUNBOOK)) - NO_SETTINGS
    given = dict(
        word.split("=", 1) for command in COMMANDS for word in command if re.fullmatch(r"RAG_\w+=[^…$]+", word)
    )
    problems = []
    for name, value in given.items():
        try:
            load_settings({name: value})
        except SettingsError as error:
            problems += error.problems

    assert named <= known
    assert len(given) > 5
    assert not problems


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_leads_to_a_section_that_names_it(alert: str) -> None:
    """Whoever searches the page for the alert ends where its link leads."""
    anchor = ALERTS[alert]["annotations"]["runbook_url"].partition("#")[2]
    sections = {title.lower().replace(" ", "-"): text for title, text in SECTIONS.items()}

    assert f"`{alert}`" in sections[anchor]


def test_every_alert_is_there() -> None:
    """No name is left over from a rule that was removed."""
    assert set(re.findall(r"`(Rag[A-Z]\w+)`", RUNBOOK)) == ALERTS.keys()


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_section_says_why_what_then_and_when_it_is_over(situation: str) -> None:
    """In this order, and its panels have the titles that the dashboard has."""
    text = SECTIONS[situation]
    titles = {
        panel["title"]
        for row in yaml.safe_load((GRAFANA / "dashboard.yaml").read_text("utf-8")).values()
        for panel in row
    }
    (shown,) = re.findall(r"Panels((?:[\s,]+\*[^*]+\*)+)", text)

    assert re.findall(r"^\*\*(Why|Then|Over)\*\*", text, re.MULTILINE) == ["Why", "Then", "Over"]
    assert {" ".join(title.split()) for title in re.findall(r"\*([^*]+)\*", shown)} <= titles


def test_links_lead_somewhere() -> None:
    """Within the page, and to files of the repository."""
    anchors = {title.lower().replace(" ", "-") for title in SECTIONS}
    files = set(re.findall(r"\b(?:deploy|tests)/[\w./-]+\w", RUNBOOK))

    assert set(re.findall(r"\]\(#([\w-]+)\)", RUNBOOK)) <= anchors
    assert files
    # An operator's own file of settings need not be there.
    assert {file for file in files if not (ROOT / file).exists()} == {"deploy/compose/rag.env"}


def test_codes_and_events_are_the_services_own() -> None:
    """What is to be recognised in a log is what is written there."""
    codes = set(re.findall(r"`([A-Z]+_[A-Z_]+)`", RUNBOOK)) - {
        environment_name(field) for field in Settings.model_fields
    }
    patterns = set(re.findall(r'\.event (?:\| tostring \| |\| )?(?:== |startswith\()"(\w+)"', RUNBOOK))
    sources = "\n".join(file.read_text("utf-8") for file in ROOT.glob("rag/**/*.py"))

    assert codes <= set(ErrorCode)
    assert len(patterns) > 4
    assert {pattern for pattern in patterns if f'"{pattern}' not in sources} == set()
