"""The public contract as types. This package imports only pydantic and itself, so that every layer can depend on it."""
