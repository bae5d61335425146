"""Prints an answer as it comes, then its sources: `python examples/stream_client.py "QUESTION" [URL]`.

The key, if any, is in ASK_API_KEY. An event ends with an empty line; `data` is one line of JSON.
"""

import json
import os
import sys

import httpx

question, url = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "http://127.0.0.1:3000"
headers = {"x-api-key": os.environ["ASK_API_KEY"]} if "ASK_API_KEY" in os.environ else {}
buffer, sources, end = "", [], "cut off"
with httpx.stream("POST", f"{url}/query/stream", json={"question": question}, headers=headers, timeout=60) as response:
    if response.status_code != httpx.codes.OK:
        sys.exit(response.read().decode())
    for piece in response.iter_text():
        *events, buffer = (buffer + piece).split("\n\n")
        for event in events:
            fields = dict(line.split(": ", 1) for line in event.split("\n"))
            data = json.loads(fields.get("data", "{}"))  # a ping has none
            if fields.get("event") == "token":
                print(data["text"], end="", flush=True)
            elif fields.get("event") == "citation":
                sources.append(data)
            elif fields.get("event") in ("done", "error"):
                end = data.get("code", "done")
print(*(f"\n[{each['source_id']}] {each['title']}: {each['quote']}" for each in sources))
sys.exit(None if end == "done" else end)
