"""`python -m load.evaluation`: how good retrieval and answers are on a public set of questions.

It runs the product's own stages, not copies of them: the set is ingested as any documents are, rankings come from the
functions that the pipeline calls, and answers from a real server over HTTP.
"""
