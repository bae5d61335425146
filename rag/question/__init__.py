"""Read a question: its spelling, its language and its parts."""
