"""From draft and verdicts to the events that a client sees: sentences, wrapping, rendering."""
