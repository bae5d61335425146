"""Everything that changes how BentoML, circus and uvicorn serve; see each module for the version and the reason."""
