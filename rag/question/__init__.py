"""What was asked: the spelling, the language and the parts of a question."""
