"""What the front adds to a request: the whole contract on fake models, against a bare route in the same run."""
