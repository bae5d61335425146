"""Endurance test: sends all kinds of requests for a long time, and measures whether the server's processes grow."""
