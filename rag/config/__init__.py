"""What is set from outside: the environment as settings, names of models, strict YAML."""
