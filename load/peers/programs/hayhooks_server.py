"""Serve the pipelines of the folder beside this file by Hayhooks: `hayhooks_server.py PORT`."""

import os
import sys
from pathlib import Path

# Hayhooks reads its settings while it is imported.
os.environ["HAYHOOKS_PIPELINES_DIR"] = str(Path(__file__).parent / "pipelines")

import uvicorn
from hayhooks import create_app

if __name__ == "__main__":
    uvicorn.run(create_app(), host="127.0.0.1", port=int(sys.argv[1]), access_log=False, log_level="warning")
