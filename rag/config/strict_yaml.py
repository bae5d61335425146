"""Load hand-written YAML files that grant access, strictly: duplicate fields are errors, error messages one line."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import yaml
from pydantic import ValidationError

# A person fixes one problem after another, and the start must fail with one line.
_PROBLEMS_SHOWN: Final = 5
# Only plain names are shown: any other may hold a secret, or a line break.
_QUOTED = re.compile(r"'[^']*'")
_PLAIN_NAME = re.compile(r"[\w .-]{1,64}")


class FileError(ValueError):
    """The file is not valid; the message is one line and shows no values."""


class _StrictLoader(yaml.SafeLoader):
    """Rejects duplicate fields; the base loader keeps the last one, which may be the wider grant."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # Any: as in the base
        names = [name.value for name, _ in node.value if isinstance(name, yaml.ScalarNode)]
        for name in repeated(names):
            raise FileError(f"line {node.start_mark.line + 1}: the field {_shown(name)} is given twice")
        return super().construct_mapping(node, deep)


def load_yaml(data: bytes) -> object:
    """Parse YAML with the strict loader.

    Raises: FileError: the data is not YAML, or a field is given twice.
    """
    try:
        return yaml.load(data, _StrictLoader)  # noqa: S506  # derived from SafeLoader
    except FileError:
        raise
    except yaml.MarkedYAMLError as error:
        place = f" at line {error.problem_mark.line + 1}" if error.problem_mark else ""
        problem = _QUOTED.sub("something", error.problem or "")
        raise FileError(f"is not YAML{place}: {problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise FileError("is not YAML in UTF-8") from None


def explain(error: ValidationError, rules: Mapping[str, str]) -> str:
    """Describe the validation errors in one line; `rules` maps each field to a phrase that says what it must be."""
    return one_line([_describe(each["type"], each["loc"], rules) for each in error.errors(include_input=False)])


def one_line(problems: Sequence[str]) -> str:
    """Join problems to one line; only the first ones are shown, the rest is counted."""
    shown = "; ".join(problems[:_PROBLEMS_SHOWN])
    hidden = len(problems) - _PROBLEMS_SHOWN
    return shown + (f"; and {hidden} more" if hidden > 0 else "")


def repeated(values: Iterable[str]) -> list[str]:
    """Return the values that occur more than once, in order of their first occurrence."""
    return [value for value, count in Counter(values).items() if count > 1]


def _describe(kind: str, place: tuple[int | str, ...], rules: Mapping[str, str]) -> str:
    """Describe one error without the value: somebody may have put a digest or a key into the wrong field."""
    parts = [part for part in place if part != "[key]"]  # pydantic's marker for a mapping's key; `rules` has an entry
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{_shown(part)}" for part in parts).removeprefix(".")
    if kind == "missing":
        return f"{path}: is missing"
    if kind == "extra_forbidden":
        return f"{path}: there is no such field"
    field = "[key]" if "[key]" in place else next((str(part) for part in reversed(parts) if part in rules), "")
    return f"{path or 'the file'}: must be {rules[field]}"


def _shown(name: object) -> str:
    return str(name) if _PLAIN_NAME.fullmatch(str(name)) else "a field"
