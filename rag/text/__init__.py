"""Analyse Vietnamese and English text: words, stems, markers, editions, injected instructions."""
