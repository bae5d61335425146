"""Read what the operator sets: the environment as settings, names of models, strict YAML."""
