"""Keep the indexes in PostgreSQL with pgvector: rows for files, one transaction for the switch.

A document's content (its chunks, vectors, words, token vectors) is written once and never changed. It gets a number,
`doc`, and the table `documents` says in which versions it is: from `born` to before `died`. So a change writes only
what is new, a rollback writes a row for each document, and a query keeps its version while others are published.

psycopg (LGPL-3.0, its source unmodified) is imported by `connection.py` and `pool.py` alone, and these by nobody before
a URL asks for it: who keeps files needs no driver.
"""
