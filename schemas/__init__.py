"""Define the public contract as types. Only pydantic is imported here, so that every layer can depend on it."""
