"""Expose what the service does: log lines, metrics, traces, and the record of one query that feeds them."""
