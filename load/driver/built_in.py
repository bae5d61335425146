"""Provide questions that `examples/documents` answer, so that a load needs no data set."""

from collections.abc import Mapping, Sequence
from typing import Final

from load.driver.scenarios import Language

QUESTIONS: Final[Mapping[Language, Sequence[str]]] = {
    "en": (
        "How much is paid back for a hotel night abroad?",
        "Who approves a trip before anything is booked?",
        "How many days ahead are flights to be booked?",
        "When may a flight be in premium economy?",
        "What is paid back per kilometre for a private car?",
        "Which expenses are never paid back?",
        "Within how many days after a trip is a claim handed in?",
        "From which amount does an item need an invoice?",
        "How large may an advance on travel costs be?",
        "When does an incident count as SEV1?",
        "How soon are customers informed of a SEV2 incident?",
        "What does the incident commander not do?",
        "How often does the communications lead write during a SEV1 incident?",
        "When is an incident closed?",
        "How much is paid for a week on call?",
        "How long must a password be?",
        "Where is multi-factor authentication required?",
        "After how many minutes does a screen lock?",
        "How soon is a stolen laptop to be reported?",
        "Who may see restricted data?",
        "How long are logs of access kept?",
        "What does the Team plan of Tre Ledger cost?",
        "How long can a paid plan be tried for free?",
        "How often are backups of Tre Ledger made?",
        "In which formats can invoices be exported?",
        "When can a yearly plan be refunded in full?",
    ),
    "vi": (
        "Nhân viên full-time có bao nhiêu ngày nghỉ phép năm?",
        "Nhân viên part-time được nghỉ phép năm mấy ngày?",
        "Thời gian thử việc của kỹ sư là bao lâu?",
        "Lương thử việc bằng bao nhiêu phần trăm lương chính thức?",
        "Làm thêm giờ vào ngày lễ được trả bao nhiêu phần trăm lương?",
        "Nghỉ từ 3 ngày trở lên cần báo trước bao lâu?",
        "Phép năm chưa dùng hết được chuyển sang năm sau tối đa mấy ngày?",
        "Nhân viên được nghỉ ốm hưởng nguyên lương mấy ngày mỗi năm?",
        "Giờ làm việc chính thức bắt đầu lúc mấy giờ?",
        "Mỗi tuần được làm việc từ xa tối đa mấy ngày?",
        "Ngày nào cả công ty có mặt tại văn phòng?",
        "Khi làm việc từ xa phải trả lời tin nhắn trong bao lâu?",
        "Công ty hỗ trợ chi phí Internet bao nhiêu mỗi tháng?",
        "Làm việc từ nước ngoài cần ai đồng ý?",
        "Phải đăng ký lịch làm việc từ xa trước lúc nào?",
        "Đơn hàng trên 50.000.000 đồng do ai phê duyệt?",
        "Một đơn hàng 20 triệu đồng cần mấy báo giá?",
        "Nhà cung cấp mới phải được ai thẩm định?",
        "Thời hạn thanh toán cho nhà cung cấp là bao nhiêu ngày?",
        "Máy tính xách tay được thay mới sau mấy năm?",
        "Đặt cọc tối đa bao nhiêu phần trăm giá trị đơn hàng?",
        "Thẻ ra vào bị mất được cấp lại với phí bao nhiêu?",
        "Nhân viên mới có người đồng hành trong mấy tuần?",
        "Ai phụ trách đào tạo an toàn thông tin trong tuần đầu?",
        "Ngày đầu tiên phải có mặt lúc mấy giờ và ở đâu?",
        "Ảnh thẻ phải được chụp trong vòng bao lâu?",
    ),
}
# Sentences that precede a long question; none is about the content of the documents.
BACKGROUND: Final[Mapping[Language, Sequence[str]]] = {
    "en": (
        "I have read the page twice and a colleague reads it in another way than I do.",
        "We talked about this in the meeting on Monday and could not settle it.",
        "My team is spread over two offices, and each of them seems to have a habit of its own.",
        "I would like to write the rule down for those who join us next month.",
        "Please give me the figure as it stands in the document, and not from memory.",
        "Last year it was handled differently, but that was before the new text was published.",
        "I have to answer a customer's auditor today, who asks for the exact wording.",
        "If there are exceptions I would like to know of them, but the rule itself matters most.",
        "I could not find it with the search on the intranet, which shows only titles.",
        "Somebody told me a number at lunch that I do not quite believe.",
    ),
    "vi": (
        "Tôi đã đọc trang này hai lần và một đồng nghiệp hiểu khác với tôi.",
        "Chúng tôi đã bàn việc này trong cuộc họp hôm thứ Hai mà chưa thống nhất được.",
        "Nhóm của tôi làm việc ở hai văn phòng, và mỗi nơi dường như có một thói quen riêng.",
        "Tôi muốn ghi lại quy định này cho những người sẽ vào công ty tháng sau.",
        "Xin cho tôi con số đúng như trong tài liệu, đừng trả lời theo trí nhớ.",
        "Năm ngoái việc này được xử lý khác, nhưng đó là trước khi có văn bản mới.",
        "Hôm nay tôi phải trả lời kiểm toán của một khách hàng, họ hỏi đúng từng chữ.",
        "Nếu có ngoại lệ thì tôi cũng muốn biết, nhưng quan trọng nhất vẫn là quy định chung.",
        "Tôi không tìm thấy bằng ô tìm kiếm trên mạng nội bộ vì ở đó chỉ hiện tiêu đề.",
        "Có người nói với tôi một con số trong bữa trưa mà tôi không tin lắm.",
    ),
}
# A prefix that makes a repeated question a new text for every cache without changing its meaning.
OPENINGS: Final[Mapping[Language, str]] = {"en": "Ticket {number}: ", "vi": "Phiếu {number}: "}
