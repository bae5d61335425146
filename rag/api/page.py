"""Hold the page at `/`, which asks one question and shows the streamed answer; it loads nothing from elsewhere."""

from typing import Final

PAGE_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; connect-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
}
PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>RAG</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem }
  form { display: flex; gap: .5rem } input { flex: 1; font: inherit } button { font: inherit }
  #answer { white-space: pre-wrap } li { margin: .5rem 0 } .error { color: #a00 }
</style>
<h1>Ask the documents</h1>
<form><input name="question" maxlength="2000" required autofocus aria-label="Question"><button>Ask</button></form>
<p id="answer" aria-live="polite"></p>
<ol id="sources"></ol>
<p><a href="/docs.json">API</a> · <a href="/models/current">Models</a> · <a href="/ready">Readiness</a></p>
<script>
  let source;
  document.querySelector("form").onsubmit = submitted => {
    submitted.preventDefault();
    const answer = document.getElementById("answer"), sources = document.getElementById("sources");
    answer.textContent = ""; answer.className = ""; sources.textContent = "";
    source?.close();
    const question = new FormData(submitted.target).get("question");
    source = new EventSource("/query/stream?question=" + encodeURIComponent(question));
    const failed = message => { source.close(); answer.className = "error"; answer.textContent = message };
    source.addEventListener("token", event => answer.append(JSON.parse(event.data).text));
    source.addEventListener("citation", event => {
      const citation = JSON.parse(event.data), item = document.createElement("li"), link = document.createElement("a");
      const page = citation.page_start ? ", p. " + citation.page_start : "";
      link.href = citation.url; link.textContent = citation.title;
      item.append(link, `${page}: “${citation.quote}”`);
      sources.append(item);
    });
    source.addEventListener("done", () => source.close());
    source.addEventListener("error", event => failed(event.data ? JSON.parse(event.data).message : "No answer."));
  };
</script>
"""
