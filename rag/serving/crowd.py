"""How many connections a process has at most, and which of them makes way for a new one."""

import resource
from collections import OrderedDict
from typing import Final, Protocol

_OWN_FILES: Final = 64
_LEAST: Final = 8


def find_room(maximum: int) -> int:
    """How many connections a process can have by the files that it may open, `maximum` at most.

    The other files are the process's own, some 30, and those of answers: services behind the front, indexes.
    """
    open_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(_LEAST, min(maximum, open_files // 2, open_files - _OWN_FILES))


class Member(Protocol):
    """A connection."""

    def give_way(self) -> None:
        """It ends at once."""


class Crowd:
    """A full one lets the next one in, `/health` above all, while there is one that waits for its next request.

    Those that hold a connection open and ask nothing thus displace each other; who is being answered is left alone.
    """

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._busy: set[Member] = set()
        self._waiting: OrderedDict[Member, None] = OrderedDict()  # the one that waits longest first

    def admit(self, member: Member) -> bool:
        """Whether there is room for it. It waits in any case, if only to be told that there is none."""
        if self._waiting and len(self._busy) + len(self._waiting) >= self._maximum:
            displaced, _ = self._waiting.popitem(last=False)
            displaced.give_way()
        self._waiting[member] = None
        return len(self._busy) < self._maximum

    def note_busy(self, member: Member) -> None:
        self._waiting.pop(member, None)
        self._busy.add(member)

    def note_waiting(self, member: Member) -> None:
        self._busy.discard(member)
        self._waiting[member] = None

    def leave(self, member: Member) -> None:
        self._waiting.pop(member, None)
        self._busy.discard(member)
