"""Language-level facts of Vietnamese and English text: words, stems, markers, editions, injected instructions."""
