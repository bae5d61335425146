"""The page at `/` in a headless Chromium, against a real server on fake models and a generator with a script.

Skipped where there is no browser; see tests/browser.py.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import pytest

from load.server import Server, running_server
from tests.browser import TIMEOUT_MS, find_missing, import_tool, running_browser
from tests.integration.asking import make_trace_id
from tests.integration.conftest import HANDBOOK, LEAVE_VI, write_identities
from tests.scripted_model import PAUSE, Reply, ScriptedModel, breaks_off, delta, ending
from tests.servers import FAKE_MODELS, PATIENT, UNLIMITED, ingest, make_environment

_MISSING: Final = find_missing()
pytestmark = [pytest.mark.integration, pytest.mark.skipif(_MISSING is not None, reason=str(_MISSING))]

QUESTION: Final = "How many days of annual leave do full-time staff have?"
SENTENCE: Final = "Full-time staff have 12 days of annual leave per year"
HOSTILE: Final = 'Bicycles <img src=x onerror="window.taken=1"><script>window.taken=1</script> stand in the hall.\n'
KEYS: Final[Mapping[str, Mapping[str, object]]] = {
    "reader": {"tenants": ["demo"]},
    "writer": {"tenants": ["library"], "write": True},
    "hasty": {"tenants": ["hasty"], "requests_per_window": 1},
}
PHONE: Final = {"width": 360, "height": 740}
# All but what is about best practice: WCAG 2.2 at level AA.
RULES: Final = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}


@dataclass(frozen=True, slots=True)
class Visit:
    """The page in one tab, and what a person does with it; Any: playwright's types are not there."""

    tab: Any
    trace_id: str

    def ask(self, question: str = QUESTION) -> None:
        self.tab.get_by_role("textbox", name="Question").fill(question)
        self.tab.keyboard.press("Enter")

    def give_key(self, key: str, tenant: str = "demo") -> None:
        if not self.tab.locator("details").evaluate("details => details.open"):
            self.tab.locator("summary").click()
        self.tab.locator("#key").fill(key)
        self.tab.locator("#tenant").fill(tenant)

    def see(self, text: str) -> Any:
        """The first visible element with this text, which may take a while to appear."""
        found = self.tab.locator("main, dialog").get_by_text(text).locator("visible=true").first
        found.wait_for()
        return found

    def wait_for_answer(self) -> str:
        """The text of the last turn, when it has its end."""
        self.tab.locator(".turn:last-of-type").get_by_text("Trace id").wait_for()
        return str(self.tab.locator(".answer").last.text_content())

    def focused(self) -> str:
        return str(self.tab.evaluate("document.activeElement.id || document.activeElement.textContent"))

    def width(self) -> int:
        return int(self.tab.evaluate("document.documentElement.scrollWidth"))

    def reply(self, path: str, body: str, **fields: Any) -> None:
        """Answer this path in the server's place."""
        self.tab.route(path, lambda route: route.fulfill(body=body, **fields))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, model: ScriptedModel) -> Iterator[Server]:
    """Callers have keys, which are their ids."""
    place = tmp_path_factory.mktemp("page")
    write_identities(place / "identities.yaml", KEYS)
    environment = make_environment(
        RAG_INDEX_DIR=str(place / "index"),
        RAG_GENERATOR_URL=model.url,
        RAG_IDENTITIES_FILE=str(place / "identities.yaml"),
        **FAKE_MODELS,
        **UNLIMITED,
        **PATIENT,
    )
    documents = place / "documents"
    documents.mkdir()
    for name, text in (("handbook", HANDBOOK), ("nghi_phep", LEAVE_VI), ("bicycles", HOSTILE)):
        (documents / f"{name}.txt").write_text(text, "utf-8")
    ingest(documents, environment=environment)
    with running_server(place / "server", environment) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with running_browser() as running:
        yield running


@contextmanager
def visiting(browser: Any, server: Server, **settings: Any) -> Iterator[Visit]:
    """A new tab on the page whose questions have one trace id; no script or style of it is refused by its policy."""
    context = browser.new_context(**{"locale": "en-GB", "reduced_motion": "reduce", **settings})
    context.set_default_timeout(TIMEOUT_MS)
    tab, complaints, trace_id = context.new_page(), [], make_trace_id()
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.route(
        "**/query/stream",
        lambda route: route.continue_(headers={**route.request.headers, "x-trace-id": trace_id}),
    )
    try:
        with tab.expect_response("**/docs.json"):
            tab.goto(server.url)
        yield Visit(tab, trace_id)
        # A response of 401 and the like is named on the console, which is no fault of the page.
        assert [each for each in complaints if not each.startswith("Failed to load resource")] == []
    finally:
        context.close()


@pytest.fixture
def visit(browser: Any, server: Server) -> Iterator[Visit]:
    """A reader who has given a key."""
    with visiting(browser, server) as visit:
        visit.give_key("reader")
        yield visit


def find_violations(visit: Visit) -> list[str]:
    """What axe-core finds."""
    axe = import_tool("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(visit.tab, options=RULES)
    return [f"{each['id']}: {node['html'][:120]}" for each in found.response["violations"] for node in each["nodes"]]


def test_an_answer_comes_with_its_source_beside_it(visit: Visit) -> None:
    """Title and quotation beside the answer; its marker leads there, and the source to the highlighted passage."""
    visit.ask()
    answer = visit.wait_for_answer()

    assert answer == f"{SENTENCE} [S1]."
    source = visit.tab.locator(".sources li")
    assert "handbook" in source.text_content()
    assert f"{SENTENCE}." in source.text_content()
    assert source.bounding_box()["x"] > visit.tab.locator(".answer").bounding_box()["x"] + 300
    assert visit.trace_id in visit.tab.locator(".trace").text_content()

    visit.tab.get_by_role("link", name="[S1]").click()
    assert source.evaluate("item => item === document.activeElement")

    source.get_by_role("link").click()
    visit.tab.locator("mark").wait_for()
    assert visit.tab.locator("mark").text_content() == f"{SENTENCE}."
    assert "Visitors park" in visit.tab.locator("#chunk-text").text_content()


def test_the_answer_grows_while_it_is_made_and_can_be_stopped(visit: Visit, model: ScriptedModel) -> None:
    """Stopping closes the connection, so that nothing works on for nobody; what has come stays."""
    pieces = (delta(f"{SENTENCE} [S1]. "), delta("Sick leave needs "), PAUSE, delta("a note."), ending())
    model.script(visit.trace_id, Reply(pieces=pieces))
    visit.ask()
    visit.see(SENTENCE)

    visit.tab.get_by_role("button", name="Stop").click()
    visit.see("Stopped.")

    assert model.seen(visit.trace_id)[0].left.wait(10)
    assert SENTENCE in visit.tab.locator(".answer").text_content()
    assert visit.tab.get_by_role("button", name="Ask", exact=True).is_visible()
    assert visit.focused() == "question"


def test_a_question_without_an_answer_is_no_error(visit: Visit) -> None:
    """It is said in words, and nothing is marked as a failure."""
    visit.ask("Zebra?")
    visit.wait_for_answer()

    assert visit.see("This is not in the documents.").is_visible()
    assert visit.tab.get_by_role("alert").count() == 0
    assert visit.tab.locator(".sources").is_hidden()


def test_without_a_key_the_page_asks_for_it(browser: Any, server: Server) -> None:
    """The cursor stands in its field, the question is kept, and Enter asks again; the key is stored nowhere."""
    with visiting(browser, server) as visit:
        visit.ask()
        visit.see("A valid key is needed.")
        assert visit.focused() == "key"

        visit.tab.keyboard.type("reader")
        visit.tab.keyboard.press("Enter")

        assert SENTENCE in visit.wait_for_answer()
        assert visit.tab.get_by_role("alert").count() == 0
        stored = (
            "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href, history.state])"
        )
        assert "reader" not in visit.tab.evaluate(stored)


def test_a_spent_quota_is_told_with_the_seconds_to_wait(browser: Any, server: Server) -> None:
    """Those of `Retry-After`."""
    with visiting(browser, server) as visit:
        visit.give_key("hasty", tenant="hasty")
        visit.ask()
        visit.see("This is not in the documents.")
        with visit.tab.expect_response("**/query/stream") as refused:
            visit.ask("And part-time staff?")

        assert visit.see(f"Ask again in {refused.value.headers['retry-after']} s.").is_visible()


def test_other_errors_are_told_in_words(visit: Visit) -> None:
    """A tenant that the key may not use, and a field that breaks its rule, with the reason."""
    visit.give_key("reader", tenant="acme")
    visit.ask()
    assert visit.see("This key may not be used for this tenant.").is_visible()

    visit.give_key("reader", tenant="a b")
    visit.ask()
    assert visit.see("tenant_id: ").is_visible()


def test_a_failure_in_the_middle_keeps_what_has_come(visit: Visit, model: ScriptedModel) -> None:
    """As an event of the stream."""
    model.script(visit.trace_id, breaks_off(f"{SENTENCE} [S1]. ", "Sick leave", then="cut"))
    visit.ask()

    assert visit.see("A model behind the service failed.").is_visible()
    assert visit.tab.get_by_role("button", name="Ask again").is_visible()


def test_a_stream_that_broke_off_is_no_whole_answer(visit: Visit) -> None:
    """It has neither `done` nor `error` at its end."""
    events = (
        'id: 0\nevent: meta\ndata: {"trace_id":"t","model_version":"v"}\n\nid: 1\nevent: token\ndata: {"text":"Ha"}\n\n'
    )
    visit.reply("**/query/stream", events, content_type="text/event-stream")
    visit.ask()

    assert visit.see("broke off").is_visible()
    assert visit.see("Ha").is_visible()


def test_a_device_without_a_network_is_told_so(visit: Visit) -> None:
    """And the question can be asked again when the network is back."""
    visit.tab.context.set_offline(True)
    visit.ask()
    visit.see("This device is offline.")

    visit.tab.context.set_offline(False)
    visit.tab.get_by_role("button", name="Ask again").click()

    assert SENTENCE in visit.wait_for_answer()


def test_text_of_documents_is_never_markup(visit: Visit) -> None:
    """In the answer, in the quotation and in the passage."""
    visit.ask("Where do bicycles stand in the hall?")
    answer = visit.wait_for_answer()
    visit.tab.locator(".sources").get_by_role("link").click()
    visit.tab.locator("mark").wait_for()

    assert "<img src=x" in answer
    assert visit.tab.locator("img, main script, dialog script").count() == 0
    assert visit.tab.evaluate("window.taken") is None


def test_earlier_turns_are_sent_where_the_service_takes_them(browser: Any, server: Server) -> None:
    """`/docs.json` says whether it does; markers of earlier answers would name other sources now."""
    said = "event: meta\ndata: {}\n\n" + "".join(
        f"event: {name}\ndata: {json.dumps(data)}\n\n"
        for name, data in (("token", {"text": "Twelve days [S1]."}), ("done", {"finish_reason": "stop"}))
    )
    described: dict[str, Any] = {
        "components": {"schemas": {"QueryRequest": {"properties": {"question": {}, "history": {}}}}}
    }
    for schema, expected in (
        (
            json.dumps(described),
            [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": "Twelve days."}],
        ),
        (json.dumps(described).replace("history", "other"), None),
    ):
        with visiting(browser, server) as visit:
            visit.reply("**/docs.json", schema, content_type="application/json")
            visit.reply("**/query/stream", said, content_type="text/event-stream")
            with visit.tab.expect_response("**/docs.json"):
                visit.tab.reload()
            visit.ask()
            visit.tab.get_by_role("button", name="Copy with sources").wait_for()
            with visit.tab.expect_request("**/query/stream") as asked:
                visit.ask("And part-time staff?")

            assert asked.value.post_data_json.get("history") == expected


def test_the_answer_can_be_copied_with_its_sources(visit: Visit) -> None:
    """Where the browser lets the page do so."""
    visit.tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visit.ask()
    visit.wait_for_answer()
    visit.tab.get_by_role("button", name="Copy with sources").click()
    visit.tab.locator("#status").get_by_text("Copied.").wait_for()

    copied = visit.tab.evaluate("navigator.clipboard.readText()")

    assert copied.startswith(f"{SENTENCE} [S1].\n\nSources:\n[S1] ")
    assert f"“{SENTENCE}.”" in copied


def test_a_phone_needs_no_scrolling_sideways(browser: Any, server: Server) -> None:
    """At 360 pixels, with the passage open too; the sources stand below the answer."""
    with visiting(browser, server, viewport=PHONE) as visit:
        visit.give_key("reader")
        visit.ask()
        visit.wait_for_answer()

        answer, sources = (visit.tab.locator(each).bounding_box() for each in (".answer", ".sources"))
        assert sources["y"] > answer["y"] + answer["height"]
        assert visit.width() <= PHONE["width"]

        visit.tab.locator(".sources").get_by_role("link").click()
        visit.tab.locator("mark").wait_for()
        assert visit.tab.locator("dialog[open]").bounding_box()["width"] < PHONE["width"]
        assert visit.width() <= PHONE["width"]


@pytest.mark.parametrize(("scheme", "ground"), [("light", "rgb(255, 255, 255)"), ("dark", "rgb(20, 24, 30)")])
def test_it_is_accessible_in_both_color_schemes(browser: Any, server: Server, scheme: str, ground: str) -> None:
    """No violation of WCAG 2.2 AA that a machine can find: at first, with an answer, an error, and an open passage."""
    with visiting(browser, server, color_scheme=scheme) as visit:
        assert visit.tab.evaluate("getComputedStyle(document.body).backgroundColor") == ground
        assert find_violations(visit) == []

        visit.ask()
        visit.see("A valid key is needed.")
        assert find_violations(visit) == []

        visit.give_key("reader")
        visit.ask()
        visit.wait_for_answer()
        assert find_violations(visit) == []

        visit.tab.locator(".sources").get_by_role("link").click()
        visit.tab.locator("mark").wait_for()
        assert find_violations(visit) == []


def test_the_keyboard_does_everything(visit: Visit, model: ScriptedModel) -> None:
    """Shift+Enter begins a line, Enter sends, Escape stops and closes, and focus comes back to where it was."""
    tab = visit.tab
    tab.locator("#question").focus()
    tab.keyboard.type("How many days of annual leave")
    tab.keyboard.press("Shift+Enter")
    tab.keyboard.type("do full-time staff have?")
    tab.keyboard.press("Enter")
    visit.wait_for_answer()
    assert tab.get_by_role("heading", level=2).first.text_content() == QUESTION.replace("leave do", "leave\ndo")
    assert visit.focused() == "question"

    tab.locator(".answer a").focus()
    tab.keyboard.press("Enter")
    tab.keyboard.press("Tab")
    assert visit.focused() == tab.locator(".sources a").text_content()
    tab.keyboard.press("Enter")
    tab.locator("mark").wait_for()
    tab.keyboard.press("Escape")
    assert visit.focused() == tab.locator(".sources a").text_content()

    model.script(visit.trace_id, Reply(pieces=(delta(f"{SENTENCE} [S1]. "), delta("Sick leave"), PAUSE)))
    visit.ask()
    tab.locator(".turn:last-of-type").get_by_text(SENTENCE).first.wait_for()
    tab.keyboard.press("Escape")
    assert visit.see("Stopped.").is_visible()


def test_it_speaks_the_readers_language(browser: Any, server: Server) -> None:
    """The browser's at first, and the other at the switch, in turns that are there already; answers keep their own."""
    with visiting(browser, server, locale="vi-VN") as visit:
        tab = visit.tab
        assert tab.locator("html").get_attribute("lang") == "vi"
        assert tab.title() == "Hỏi tài liệu"
        visit.give_key("reader")
        tab.get_by_role("textbox", name="Câu hỏi").fill("Nhân viên full-time có bao nhiêu ngày nghỉ phép năm?")
        tab.keyboard.press("Enter")
        tab.get_by_text("Mã theo dõi").wait_for()
        assert tab.locator(".answer").get_attribute("lang") == "vi"
        assert tab.get_by_role("heading", name="Nguồn").is_visible()

        tab.get_by_role("button", name="English").click()

        assert tab.locator("html").get_attribute("lang") == "en"
        assert tab.get_by_role("heading", name="Sources").is_visible()
        assert tab.get_by_role("button", name="Copy with sources").is_visible()
        assert tab.locator(".answer").get_attribute("lang") == "vi"


def test_a_screen_reader_is_told_the_answer_at_its_end(visit: Visit) -> None:
    """In a live region, once."""
    visit.ask()
    answer = visit.wait_for_answer()

    assert visit.tab.get_by_role("status").text_content() == f"Answer: {answer}"


def test_who_may_write_adds_and_removes_documents(browser: Any, server: Server) -> None:
    """By the keyboard alone; each end is said in words, and the list is that of the tenant."""
    with visiting(browser, server) as visit:
        visit.give_key("writer", "library")
        visit.tab.keyboard.press("Tab")
        visit.tab.get_by_role("button", name="Documents").focus()
        visit.tab.keyboard.press("Enter")
        visit.see("There are no documents yet.")
        assert visit.focused() == "library-title"

        visit.tab.locator("#files").set_input_files(
            [
                {"name": "garden rules.txt", "mimeType": "text/plain", "buffer": b"The garden closes at nine."},
                {"name": "broken.pdf", "mimeType": "application/pdf", "buffer": b"no PDF"},
            ]
        )
        visit.see("Added.")
        visit.see("Failed: broken.pdf:")
        assert "garden rules" in visit.tab.locator("#listed li").text_content()
        assert find_violations(visit) == []

        visit.tab.on("dialog", lambda dialog: dialog.accept())
        visit.tab.get_by_role("button", name="Remove garden rules").focus()
        visit.tab.keyboard.press("Enter")
        visit.see("There are no documents yet.")
        visit.tab.keyboard.press("Escape")
        assert visit.tab.locator("#library").is_hidden()


def test_a_file_that_is_dropped_on_the_page_is_sent(browser: Any, server: Server) -> None:
    """Wherever on the page; the list opens and shows how it goes, in the language of the page."""
    with visiting(browser, server, locale="vi-VN") as visit:
        visit.give_key("writer", "library")
        visit.tab.keyboard.press("Tab")
        visit.tab.get_by_role("button", name="Tài liệu").wait_for()
        data = visit.tab.evaluate_handle(
            """() => {
              const data = new DataTransfer();
              data.items.add(new File(["Khu vườn đóng cửa lúc chín giờ."], "khu vườn.txt"));
              return data;
            }"""
        )
        visit.tab.dispatch_event("main", "drop", {"dataTransfer": data})

        visit.see("Đã thêm.")
        assert "khu vườn" in visit.tab.locator("#listed li").text_content()


def test_who_may_only_read_sees_no_documents(browser: Any, server: Server) -> None:
    """No button that would end in a refusal."""
    with visiting(browser, server) as visit:
        with visit.tab.expect_response("**/documents?*") as seen:
            visit.give_key("reader")

        assert seen.value.status == 403
        assert visit.tab.locator("#documents").is_hidden()


def test_a_file_that_is_too_large_is_told(browser: Any, server: Server) -> None:
    """In words, beside its name."""
    with visiting(browser, server) as visit:
        visit.tab.route(
            "**/documents", lambda route: route.fulfill(status=413, body=json.dumps({"error": {"message": "x"}}))
        )
        visit.give_key("writer", "library")
        visit.tab.keyboard.press("Tab")
        visit.tab.get_by_role("button", name="Documents").click()
        visit.tab.locator("#files").set_input_files(
            [{"name": "large.txt", "mimeType": "text/plain", "buffer": b"x" * 1000}]
        )

        visit.see("This file is too large.")
