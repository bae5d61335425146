"""A model's phrases around an answer are distinguished from statements of the documents."""

import pytest

from rag.verification.phrases import declines, is_chatter, is_lead_in, refers_elsewhere


@pytest.mark.parametrize(
    "text",
    [
        "I could not find any information about pensions.",
        "I couldn't find an answer in the documents.",
        "The provided documents do not contain information about pensions.",
        "There is no information about pensions in the sources.",
        "No information on pensions is available in the provided documents.",
        "The pension scheme is not mentioned in the documents.",
        "Unfortunately, I am unable to answer this question.",
        "I'm sorry, but I can't answer that based on the provided context.",
        "This question cannot be answered from the context.",
        "Không tìm thấy thông tin về lương hưu.",
        "Tôi không tìm thấy thông tin nào về lương hưu trong tài liệu.",
        "Rất tiếc, tài liệu không đề cập đến lương hưu.",
        "Lương hưu không được đề cập trong các tài liệu.",
        "Không có thông tin về lương hưu trong các nguồn.",
        "Tôi không thể trả lời câu hỏi này.",
        "Tài liệu được cung cấp không chứa câu trả lời.",
    ],
)
def test_a_decline_is_known_in_other_words(text: str) -> None:
    """Each model has its own, in both languages."""
    assert declines(text)


@pytest.mark.parametrize(
    "text",
    [
        "Part-time staff have no annual leave.",
        "Documents must not include personal data.",
        "We do not provide parking.",
        "Visitors who cannot provide documents are refused.",
        "The documents do not mention pensions, but full-time staff have 12 days of leave.",
        "Thông tin khách hàng không được chia sẻ.",
        "Tài liệu không có chữ ký sẽ bị từ chối.",
        "Nhân viên không có thông tin đăng nhập.",
        "Công ty không cung cấp bữa trưa.",
    ],
)
def test_a_rule_is_no_decline(text: str) -> None:
    """Nor is a sentence that goes on with what the sources do hold."""
    assert not declines(text)


@pytest.mark.parametrize(
    "text",
    [
        *("If you have other questions, feel free to ask.", "Let me know if you need anything else."),
        *("I hope this helps!", "I'm happy to help.", "I'm sorry for the inconvenience."),
        *("Nếu bạn có câu hỏi khác, hãy cho tôi biết.", "Hy vọng thông tin này hữu ích cho bạn."),
        *("Tôi luôn sẵn sàng giúp bạn.", "Xin lỗi vì sự bất tiện này."),
    ],
)
def test_chatter_is_known(text: str) -> None:
    """No document speaks so to whoever asks."""
    assert is_chatter(text)


@pytest.mark.parametrize(
    "text",
    [
        *("Please contact the HR department for more information.", "I'd recommend checking with HR."),
        *("If you need help, ask the manager.", "Bạn có thể liên hệ phòng nhân sự để biết thêm."),
    ],
)
def test_what_a_document_may_say_too_is_no_chatter(text: str) -> None:
    """It is asked for only where no passage carries the sentence."""
    assert refers_elsewhere(text)
    assert not is_chatter(text)


@pytest.mark.parametrize(
    "text",
    [
        *("Here is the answer based on the documents:", "Based on the provided sources,", "Here's the answer."),
        *("Based on the provided documents, here is the answer.", "According to the context provided.", "Sure!"),
        *("Dựa trên các tài liệu được cung cấp,", "Theo thông tin trong tài liệu,"),
        *("Dưới đây là câu trả lời dựa trên các tài liệu được cung cấp.",),
        *('{"sources": , "answer": "Staff have 12 days.', 'Staff have 12 days."}'),
    ],
)
def test_a_lead_in_is_known(text: str) -> None:
    """It says only that the answer comes now; what is left of a JSON object says it badly."""
    assert is_lead_in(text)


@pytest.mark.parametrize(
    "text",
    [
        *("Based on the provided sources, staff have 12 days.", "Dựa trên tài liệu, có 12 ngày.", "The documents."),
        *("Here is Linh Tran's desk.", "This is a summary of 12 things.", "12 days", "Linh Tran."),
    ],
)
def test_a_sentence_that_says_more_is_no_lead_in(text: str) -> None:
    """Whatever it begins with."""
    assert not is_lead_in(text)
