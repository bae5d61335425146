"""Limit the open connections of a process, and choose the one that is closed to make room for a new one."""

import resource
from collections import OrderedDict
from typing import Final, Protocol

_OWN_FILES: Final = 64
_LEAST: Final = 8


def find_room(maximum: int) -> int:
    """Return how many connections the limit on open files allows, at most `maximum`.

    The rest is for about 30 files of the process itself, and for those that answers need: connections to services,
    indexes.
    """
    open_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(_LEAST, min(maximum, open_files // 2, open_files - _OWN_FILES))


class Member(Protocol):
    """A connection that the crowd can close."""

    def give_way(self) -> None:
        """Close the connection at once."""


class Crowd:
    """The open connections; if they are full, a new one displaces the one that has waited longest for its next request.

    So idle connections displace each other, requests that are being answered are never cut off, and a new client
    (above all a `/health` probe) gets in while any connection is idle.
    """

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._busy: set[Member] = set()
        self._waiting: OrderedDict[Member, None] = OrderedDict()  # longest wait first

    def admit(self, member: Member) -> bool:
        """Add a connection as waiting, and return whether there is room; if not, the caller refuses it."""
        if self._waiting and len(self._busy) + len(self._waiting) >= self._maximum:
            displaced, _ = self._waiting.popitem(last=False)
            displaced.give_way()
        self._waiting[member] = None
        return len(self._busy) < self._maximum

    def note_busy(self, member: Member) -> None:
        """Mark a connection as having a request to answer, so that it cannot be displaced."""
        self._waiting.pop(member, None)
        self._busy.add(member)

    def note_waiting(self, member: Member) -> None:
        """Mark a connection as waiting for its next request, from now on."""
        self._busy.discard(member)
        self._waiting[member] = None

    def leave(self, member: Member) -> None:
        """Remove a closed connection; harmless if it was removed before."""
        self._waiting.pop(member, None)
        self._busy.discard(member)
