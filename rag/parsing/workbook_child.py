"""Read a workbook with calamine in a process of its own: a broken file makes it panic, or ask for 100 GB and abort.

Run as a script, without the rest of the code: stdin is the file, stdout one JSON object. It has `error`, or `sheets`:
their names, what they are, where their cells begin, the ranges of merged cells, and the rows. Numbers stay numbers.
"""

import ctypes
import io
import json
import resource
import signal
import sys
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Final

from python_calamine import CalamineWorkbook, PasswordError, SheetTypeEnum, SheetVisibleEnum

MAX_MEMORY_BYTES: Final = 2 * 2**30
MAX_CELLS: Final = 10_000_000
MAX_CHARS: Final = 10_000_000
PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h

Value = int | float | str | bool | time | date | datetime | timedelta


class TooLargeError(Exception):
    """There is more than can become a document."""


def read(data: bytes) -> dict[str, object]:
    """Return the object to write."""
    try:
        with CalamineWorkbook.from_filelike(io.BytesIO(data)) as workbook:
            return {"sheets": list(_read_sheets(workbook))}
    except PasswordError:
        return {"error": "encrypted"}
    except TooLargeError:
        return {"error": f"too much text: more than {MAX_CELLS:,} cells or {MAX_CHARS:,} characters"}


def _read_sheets(workbook: CalamineWorkbook) -> Iterator[dict[str, object]]:
    chars = cells = 0
    for each in workbook.sheets_metadata:
        if each.typ != SheetTypeEnum.WorkSheet:
            continue
        if each.visible != SheetVisibleEnum.Visible:
            yield {"name": each.name, "hidden": True}
            continue
        sheet = workbook.get_sheet_by_name(each.name)
        cells += sheet.height * sheet.width
        if cells > MAX_CELLS:
            raise TooLargeError
        rows = [[_show(value) for value in row] for row in sheet.to_python()]
        chars += sum(len(value) for row in rows for value in row if isinstance(value, str))
        if chars > MAX_CHARS:
            raise TooLargeError
        merges = sheet.merged_cell_ranges or []
        yield {"name": each.name, "hidden": False, "start": sheet.start or (0, 0), "merges": merges, "rows": rows}


def _show(value: Value) -> int | float | str | bool:
    """Return days and times as text: as in ISO 8601, durations in hours."""
    match value:
        case datetime() | time():
            text = value.isoformat(timespec="minutes" if value.second == 0 else "seconds")
            return text.replace("T", " ")
        case date():
            return value.isoformat()
        case timedelta():
            minutes, seconds = divmod(round(value.total_seconds()), 60)
            return f"{minutes // 60}:{minutes % 60:02}" + (f":{seconds:02}" if seconds else "")
        case _:
            return value


if __name__ == "__main__":
    if sys.platform == "linux":  # whoever waits for it may be killed
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.stdout.write(json.dumps(read(sys.stdin.buffer.read())))
