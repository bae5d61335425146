"""Compare what is read of files of all kinds with what other extractors read of them, and how fast."""
