"""What can be seen from outside: log lines, metrics, traces, and the record of one query that feeds them."""
