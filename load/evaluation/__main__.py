"""Define the command line of the evaluation; `make eval` sets the environment for the models and the server."""

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from load.evaluation.answers import NoAnswersError
from load.evaluation.corpus import Corpus
from load.evaluation.edits import make_edits
from load.evaluation.everyday.drafting import compare_ways, render_ways
from load.evaluation.everyday.interview import EverydayInterview
from load.evaluation.everyday.quality import EverydayQuality
from load.evaluation.everyday.questions import PART_NAMES, EverydayPart, load_parts
from load.evaluation.examples import render_examples
from load.evaluation.report import Report, render_tables
from load.evaluation.run import (
    Findings,
    Interview,
    Part,
    calibrate_all,
    ingest_all,
    ingest_by,
    open_stages,
    rank_all,
    rank_mixed,
)
from load.evaluation.verdicts import LabelledSentence, load_labelled, measure_verdicts
from load.evaluation.xquad import LANGUAGES, DataError, check_parallel, load_questions
from load.machine import describe_machine, installed_versions
from load.processes import ROOT, ServerError
from rag.config.environment import SettingsError, load_settings
from rag.config.settings import Settings
from rag.index.manifest import BrokenIndexError
from rag.tenants import TenantsError, load_policies

FOLDER: Final = ROOT / ".data" / "eval"
# Of the tuning part alone: no weight may depend on the other part or its documents.
TUNING_FOLDER: Final = FOLDER / "everyday-tuning"
SAMPLE: Final = 200

_FAILURES: Final = (
    *(DataError, SettingsError, TenantsError, ServerError, NoAnswersError, BrokenIndexError),
    FileNotFoundError,  # a model is not on this machine
)

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_INTERRUPTED: Final = 130  # 128 + SIGINT, as in shells


def main(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """Return 0 if every bound is reached, else 1, with the reasons on stderr."""
    arguments = _parse(argv)
    evaluate, name = (_evaluate, "report") if arguments.everyday is None else (_evaluate_everyday, "report-everyday")
    # As Ctrl-C: the default would end the process at once and leave a server behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if arguments.drafting:
            print(asyncio.run(_compare_drafting(environment)))
            return EXIT_OK
        report = asyncio.run(evaluate(arguments, environment))
    except _FAILURES as error:
        _tell(str(error))
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    print(render_tables(report))
    _write("all of it is", f"{name}.json", json.dumps(report.as_json(), ensure_ascii=False, indent=1) + "\n")
    for language, examples in report.examples.items():
        _write("answers to read are", f"examples-{language}.md", render_examples(language, examples))
    for part in report.everyday:
        _tell(f"answers to read are in {(FOLDER / f'everyday-{part}.md').relative_to(ROOT)}")
    missed = report.missed_bounds()
    for line in missed:
        print(f"missed: {line}", file=sys.stderr)
    return EXIT_FAILED if missed else EXIT_OK


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m load.evaluation", description="How good are the answers?")
    parser.add_argument("--data", type=Path, metavar="DIR", help="the folder of the XQuAD files")
    parser.add_argument("--verification-data", type=Path, metavar="DIR", help="the folder of the labelled sentences")
    parser.add_argument(
        "--sample", type=int, default=SAMPLE, help="questions per language to answer; 0: retrieval only"
    )
    parser.add_argument(
        "--everyday",
        nargs="*",
        choices=PART_NAMES,
        metavar="PART",
        help=f"ask the everyday questions alone: all parts, or these of {', '.join(PART_NAMES)}",
    )
    parser.add_argument(
        "--drafting",
        action="store_true",
        help="ask the everyday tuning part alone, by quotation and with drafts of the local generator, side by side",
    )
    parser.add_argument("--url", help="with --everyday: ask this server, which runs on the everyday documents' index")
    arguments = parser.parse_args(argv)
    if arguments.url and arguments.everyday is None:
        parser.error("--url is for --everyday")
    if arguments.everyday is not None or arguments.drafting:
        return arguments
    if arguments.data is None:
        parser.error("--data, --everyday or --drafting is needed")
    if arguments.sample < 0:
        parser.error("--sample is not negative")
    return arguments


async def _evaluate(arguments: argparse.Namespace, environment: Mapping[str, str]) -> Report:
    began = time.monotonic()
    date = datetime.now(UTC).isoformat(timespec="seconds")
    settings = load_settings(environment)
    sets = [load_questions(arguments.data, language) for language in LANGUAGES]
    check_parallel(sets)
    labelled = _find_labelled(arguments.verification_data)
    labelled += [sentence for questions in sets for sentence in make_edits(questions)]
    verdicts = await measure_verdicts(labelled, load_policies(settings).default) if labelled else None
    parts = {each.language: Part(each, Corpus(FOLDER / each.language)) for each in sets}
    ingest_all(parts, settings)
    stages = open_stages(parts, settings)
    retrieval = await rank_all(parts, stages) | await rank_mixed(parts, stages, settings, Corpus(FOLDER / "both"))
    calibrations = await calibrate_all(parts, _find_tuning(), stages, settings, Corpus(TUNING_FOLDER))
    found: dict[str, Findings] = {}
    for language, part in parts.items() if arguments.sample else ():
        found[language] = await Interview(part, FOLDER).run(arguments.sample, environment)
    everyday = await _ask_everyday(PART_NAMES, settings, environment, None) if arguments.sample else {}
    return Report(
        date=date,
        seconds=round(time.monotonic() - began, 1),
        machine=describe_machine(),
        versions=installed_versions(),
        settings=settings.answer_settings(),
        models={language: each.models for language, each in found.items()},
        retrieval=retrieval,
        answers={language: each.quality for language, each in found.items()},
        verdicts=verdicts,
        calibrations=calibrations,
        examples={language: each.examples for language, each in found.items()},
        everyday=everyday,
    )


async def _evaluate_everyday(arguments: argparse.Namespace, environment: Mapping[str, str]) -> Report:
    began = time.monotonic()
    date = datetime.now(UTC).isoformat(timespec="seconds")
    settings = load_settings(environment)
    everyday = await _ask_everyday(arguments.everyday or PART_NAMES, settings, environment, arguments.url)
    if not everyday:
        raise DataError("there are no everyday questions of that part")
    return Report(
        date=date,
        seconds=round(time.monotonic() - began, 1),
        machine=describe_machine(),
        versions=installed_versions(),
        settings=settings.answer_settings(),
        models={},
        retrieval={},
        answers={},
        everyday=everyday,
    )


async def _compare_drafting(environment: Mapping[str, str]) -> str:
    tuning, corpus = _find_tuning(), Corpus(TUNING_FOLDER)
    if tuning is None:
        raise DataError("there is no everyday tuning part")
    corpus.ingest(tuning.sources, ingest_by(load_settings(environment)))
    return render_ways(await compare_ways(tuning, corpus, FOLDER, environment))


def _find_tuning() -> EverydayPart | None:
    """Return the part that may be used for tuning, if it exists."""
    return next((each for each in load_parts() if each.name == "tuning"), None)


async def _ask_everyday(
    names: Sequence[str], settings: Settings, environment: Mapping[str, str], url: str | None
) -> dict[str, EverydayQuality]:
    """Ask the questions of these parts, if they exist; the index holds the documents of all parts."""
    interview = EverydayInterview(load_parts(), FOLDER)
    interview.ingest(ingest_by(settings))
    return await interview.run(names, environment, url)


def _find_labelled(folder: Path | None) -> list[LabelledSentence]:
    """Load the labelled sentences; none if the folder is missing, because they are optional."""
    if folder is None or not folder.is_dir():
        _tell("no folder of labelled sentences: the check is not run on them")
        return []
    return load_labelled(folder)


def _write(what: str, name: str, text: str) -> None:
    path = FOLDER / name
    path.write_text(text, "utf-8")
    _tell(f"{what} in {path.relative_to(ROOT)}")


def _tell(text: str) -> None:
    print(f"evaluation: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
