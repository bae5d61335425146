"""Ask a generator, and read what it sends, delta by delta; a draft is not yet an answer."""
