"""Measure the whole service: the quality of its answers, and its behaviour under load."""
