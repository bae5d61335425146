"""Links, addresses, phone numbers and codes: a passage must contain the whole of one, or it does not count."""

import pytest

from rag.verification.addresses import is_address_missing, without_addresses

PASSAGE = (
    "Write to HR@Acme.com, or see https://www.acme.com/Leave?x=1. Call (028) 3822 1234 or +84 912 345 678. "
    "The form AB-1234 and the COVID-19-related one come by DVB-S2 from the A320s. Follow @acme_hr, and read "
    "[the handbook](docs/leave.md). There are 12,345,678 accounts."
)


@pytest.mark.parametrize(
    "text",
    [
        *("hr@acme.com", "mailto:hr@acme.com", "acme.com/leave?x=1", "http://acme.com/leave?x=1.", "@ACME_HR"),
        *("(see https://www.acme.com/leave?x=1)", "[here](docs/leave.md)", "028 38221234", "(028) 3822-1234"),
        *("0912345678", "0912 345 678", "+84912345678", "AB-1234", "AB1234", "ab-1234 COVID-19", "DVB-S2", "A320"),
    ],
)
def test_it_is_compared_as_it_is_used(text: str) -> None:
    """Without case, scheme, final punctuation and separators."""
    assert not is_address_missing(text, ["Nothing here.", PASSAGE])


@pytest.mark.parametrize(
    "text",
    [
        *("https://acme.com/pay", "https://acme.com", "www.acme.org", "acme.com", "evil.vn", "it@acme.com", "@acme"),
        *("mailto:hr@acme.com.vn", "[here](docs/pay.md)", "https://acme.com/leave?x=12", "javascript:alert(1)"),
        *("0912 345 679", "+84 912 345 67", "028 3822 1235", "1234567890", "AB-123", "AB-12345", "RC7-X", "Galaxy-S8"),
    ],
)
def test_one_that_differs_is_another(text: str) -> None:
    """A longer or a shorter one too."""
    assert is_address_missing(f"See {text}.", [PASSAGE])


@pytest.mark.parametrize(
    "text",
    [
        *("2020-2021", "01.07.2026", "from 01.07.2026 - 05.08.2026", "1.500.000.000 đồng", "12,000,000", "300000000"),
        *("0.123456789", "00:15", "e.g. this", "U.S. policy", "v.v.", "mid-1990s", "1914-18", "full-time", "Node.js"),
        *("It ends here.In it they begin", "Top-10", "x = 5"),
    ],
)
def test_figures_dates_and_words_are_none(text: str) -> None:
    """They are compared as what they are."""
    assert not is_address_missing(text, [])
    assert without_addresses(text) == text


def test_they_are_blanked_out_for_those_who_read_figures_and_names() -> None:
    """The digits of a telephone number are no figure of the sentence."""
    assert without_addresses("Call 0912 345 678 by 5 pm.") == "Call              by 5 pm."
