"""Whether a server is after an hour what it was after a minute: callers of every kind, and what its processes hold."""
