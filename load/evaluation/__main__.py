"""The command line of the evaluation; `make eval` sets in the environment what the models and the server need."""

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

from load.evaluation.corpus import Corpus
from load.evaluation.judging import AnswerQuality, NoAnswersError
from load.evaluation.report import Report, describe_machine, installed_versions, render_tables
from load.evaluation.run import Interview, Part, ingest_all, rank_all
from load.evaluation.xquad import LANGUAGES, DataError, check_parallel, load_questions
from load.server import ROOT, ServerError
from rag.index.manifest import BrokenIndexError
from rag.settings import SettingsError, load_settings

FOLDER: Final = ROOT / ".data" / "eval"
SAMPLE: Final = 200

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it


def main(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """0 where every bound is reached, else 1; the reasons are on stderr."""
    arguments = _parse(argv)
    # As Ctrl-C: the default would end us at once and leave a server behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        report = asyncio.run(_evaluate(arguments, environment))
    except (DataError, SettingsError, ServerError, NoAnswersError, BrokenIndexError, FileNotFoundError) as error:
        print(f"evaluation: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    print(render_tables(report))
    path = FOLDER / "report.json"
    path.write_text(json.dumps(report.as_json(), ensure_ascii=False, indent=1) + "\n", "utf-8")
    print(f"evaluation: all of it is in {path.relative_to(ROOT)}", file=sys.stderr)
    missed = report.missed_bounds()
    for line in missed:
        print(f"missed: {line}", file=sys.stderr)
    return EXIT_FAILED if missed else EXIT_OK


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m load.evaluation", description="How good are the answers?")
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="the folder of the XQuAD files")
    parser.add_argument(
        "--sample", type=int, default=SAMPLE, help="questions per language to answer; 0: retrieval only"
    )
    parser.add_argument("--languages", nargs="+", choices=LANGUAGES, default=list(LANGUAGES))
    parser.add_argument("--url", help="ask this server, which runs on the index of the one language that is given")
    arguments = parser.parse_args(argv)
    if arguments.url and len(arguments.languages) != 1:
        parser.error("--url names a server of one language: give it with --languages")
    if arguments.sample < 0:
        parser.error("--sample is not negative")
    return arguments


async def _evaluate(arguments: argparse.Namespace, environment: Mapping[str, str]) -> Report:
    began = time.monotonic()
    date = datetime.now(UTC).isoformat(timespec="seconds")
    settings = load_settings(environment)
    sets = [load_questions(arguments.data, language) for language in dict.fromkeys(arguments.languages)]
    check_parallel(sets)
    parts = {each.language: Part(each, Corpus(FOLDER / each.language)) for each in sets}
    ingest_all(parts, settings)
    retrieval = await rank_all(parts, settings)
    answers: dict[str, AnswerQuality] = {}
    models: dict[str, object] = {}
    if arguments.sample:
        for language, part in parts.items():
            interview = Interview(part, FOLDER)
            answers[language], models[language] = await interview.run(arguments.sample, environment, arguments.url)
    return Report(
        date=date,
        seconds=round(time.monotonic() - began, 1),
        machine=describe_machine(),
        versions=installed_versions(),
        settings=settings.answer_settings(),
        models=models,
        retrieval=retrieval,
        answers=answers,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
