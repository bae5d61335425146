"""The public contract as types; imports pydantic and itself, nothing else."""
