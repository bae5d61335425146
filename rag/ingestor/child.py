"""The process of one job: the ingestion command, which ends when the Ingestor does, however that ends.

The Ingestor holds the other end of this process's stdin. Its end, a kill included, closes it; then this process ends
itself, and what it has started. The index survives that at any moment.
"""

import os
import signal
import sys
import threading
from typing import Final

from rag.ingestion.__main__ import main

# Answers come first.
NICENESS: Final = 5


def end_with_parent() -> None:
    """Wait until stdin closes, then end this process and its group."""
    while os.read(0, 1024):
        pass
    if os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    os.nice(NICENESS)
    threading.Thread(target=end_with_parent, name="parent", daemon=True).start()
    sys.exit(main(sys.argv[1:], prog="ingestor"))
