"""Does a server answer? `python examples/smoke_test.py [URL]` asks each door once. ASK_API_KEY holds the key."""

import os
import sys

import httpx

url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:3000"
headers = {"x-api-key": os.environ["ASK_API_KEY"]} if "ASK_API_KEY" in os.environ else {}
question = {"question": "How many days of annual leave do full-time staff have?"}

with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
    try:
        for path in ("/health", "/ready", "/models/current"):
            print(path, client.get(path).raise_for_status().text)
        answer = client.post("/query", json=question).raise_for_status().json()
        stream = client.post("/query/stream", json=question).raise_for_status().text
    except httpx.HTTPStatusError as error:  # the body says why, and under which trace id the log has it
        sys.exit(f"{error.request.url.path}: {error.response.status_code} {error.response.text}")
    except httpx.TransportError as error:
        sys.exit(f"{url}: {error}")
print("/query", answer["finish_reason"], answer["answer"], [citation["chunk_id"] for citation in answer["citations"]])
if "event: done" not in stream:
    sys.exit("/query/stream: did not end with `done`")
print("/query/stream done")
