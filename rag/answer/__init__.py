"""Turn draft and verdicts into the events that a client sees: sentences, wrapping, rendering."""
