"""Measure retrieval and answers on a public set of questions: `python -m load.evaluation`.

The evaluation runs the product's own stages, not copies: the set is ingested like any documents, rankings come from the
functions that the pipeline calls, and answers come from a real server over HTTP.
"""
