"""`python -m rag`: the console command where it is not installed."""

from rag.cli import main

if __name__ == "__main__":
    main(prog_name="python -m rag")
