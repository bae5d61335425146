"""Run models: encoders, rerankers, their batches, vLLM. Heavy libraries are imported inside constructors."""
