"""Makes the PDF and Word files among the example documents; the others are written by hand.

All are of one invented company, Tre Xanh Software:
  doc_hr_2026.pdf          Vietnamese  HR policy of five pages; its page 3 answers the README's question
  quy_trinh_mua_sam.docx   Vietnamese  who approves a purchase, with a table of limits
  it_security_policy.docx  English     passwords, devices, classes of data
  expense_policy.md        English     travel and expenses
  lam_viec_tu_xa.md        Vietnamese  remote work
  onboarding.html          Vietnamese  the first week of a new colleague
  product_faq.html         English     questions about the company's product
  incident_process.txt     English     severities, roles and times of an incident

Run from anywhere: `python examples/make_documents.py [--fonts DIR]`. DIR holds DejaVuSans.ttf and DejaVuSans-Bold.ttf
(Debian's fonts-dejavu-core; their licence allows embedding); the PDF embeds only the glyphs that it uses.
"""

import argparse
import io
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import docx
from docx.document import Document as DocxDocument
from fpdf import FPDF

DOCUMENTS: Final = Path(__file__).parent / "documents"
DEBIAN_FONTS: Final = Path("/usr/share/fonts/truetype/dejavu")
MADE_AT: Final = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)  # fixed, so that making them again changes no byte

HR_TITLE: Final = "HR Policy 2026"
# One entry per page: (heading, paragraphs).
HR_PAGES: Final = (
    (
        "1. Mục đích và phạm vi áp dụng",
        (
            "Tài liệu này quy định chế độ làm việc, nghỉ phép và phúc lợi của Công ty TNHH Phần mềm Tre Xanh "
            "trong năm 2026. Quy định có hiệu lực từ ngày 01/01/2026 và thay thế bản ban hành năm 2024.",
            "Quy định áp dụng cho nhân viên full-time, nhân viên part-time, nhân viên thử việc và thực tập sinh "
            "tại các văn phòng Hà Nội, Đà Nẵng và TP. Hồ Chí Minh. Cộng tác viên và nhà thầu độc lập làm việc "
            "theo hợp đồng riêng, không thuộc phạm vi của tài liệu này.",
            "Trong tài liệu này, nhân viên full-time là người có hợp đồng lao động từ 12 tháng trở lên và làm "
            "việc 40 giờ mỗi tuần. Nhân viên part-time là người làm việc từ 20 đến dưới 40 giờ mỗi tuần. Thực tập "
            "sinh là sinh viên làm việc tại công ty theo thỏa thuận với nhà trường.",
            "Phòng Nhân sự chịu trách nhiệm giải thích và cập nhật quy định. Mọi thay đổi được thông báo qua thư "
            "điện tử nội bộ ít nhất 15 ngày trước khi có hiệu lực. Nếu có khác biệt giữa tài liệu này và Bộ luật "
            "Lao động, công ty áp dụng quy định có lợi hơn cho người lao động.",
        ),
    ),
    (
        "2. Thời giờ làm việc và thử việc",
        (
            "Giờ làm việc chính thức là từ 8 giờ 30 đến 17 giờ 30, từ thứ Hai đến thứ Sáu, nghỉ trưa 60 phút. "
            "Nhân viên có thể bắt đầu sớm hoặc muộn hơn tối đa 90 phút nếu trưởng nhóm đồng ý.",
            "Thời gian thử việc là 60 ngày đối với vị trí kỹ sư và chuyên viên, 30 ngày đối với các vị trí khác. "
            "Lương thử việc bằng 90% lương chính thức.",
            "Trong thời gian thử việc, nhân viên được nghỉ 1 ngày có hưởng lương cho mỗi tháng làm việc. Ngày "
            "nghỉ chưa dùng trong thời gian thử việc được cộng vào phép năm sau khi ký hợp đồng chính thức.",
            "Làm thêm giờ phải được trưởng nhóm phê duyệt trước. Giờ làm thêm vào ngày thường được trả 150% "
            "lương, vào ngày nghỉ hằng tuần 200% và vào ngày lễ 300%. Tổng số giờ làm thêm không quá 40 giờ mỗi "
            "tháng và 200 giờ mỗi năm.",
            "Nhân viên muốn nghỉ việc báo trước 30 ngày đối với hợp đồng xác định thời hạn và 45 ngày đối với hợp "
            "đồng không xác định thời hạn.",
        ),
    ),
    (
        "3. Nghỉ phép năm",
        (
            "Nhân viên full-time có 12 ngày nghỉ phép năm. Cứ đủ 5 năm làm việc tại công ty, nhân viên được cộng "
            "thêm 1 ngày phép. Người làm việc chưa đủ 12 tháng được tính phép theo tỷ lệ số tháng làm việc.",
            "Nhân viên part-time có 6 ngày nghỉ phép năm. Thực tập sinh không có phép năm nhưng được nghỉ không "
            "lương tối đa 2 ngày mỗi tháng.",
            "Đơn xin nghỉ được gửi trên hệ thống nhân sự. Nghỉ từ 1 đến 2 ngày cần báo trước 3 ngày làm việc; "
            "nghỉ từ 3 ngày trở lên cần báo trước 10 ngày làm việc. Trưởng nhóm trả lời trong vòng 2 ngày làm "
            "việc.",
            "Phép năm chưa dùng hết được chuyển sang năm sau tối đa 5 ngày và phải dùng trước ngày 31/03. Số ngày "
            "còn lại sau thời hạn này không được quy đổi thành tiền, trừ trường hợp nhân viên thôi việc.",
            "Ngoài phép năm, nhân viên được nghỉ 11 ngày lễ, tết theo quy định của Nhà nước và thêm ngày 24/12 là "
            "ngày thành lập công ty.",
        ),
    ),
    (
        "4. Nghỉ ốm, nghỉ thai sản và nghỉ việc riêng",
        (
            "Nhân viên được nghỉ ốm hưởng nguyên lương 5 ngày mỗi năm. Từ ngày thứ 6, chế độ ốm đau do Bảo hiểm "
            "xã hội chi trả, tối đa 30 ngày mỗi năm đối với người đã đóng bảo hiểm dưới 15 năm. Nghỉ ốm từ 2 ngày "
            "liên tiếp trở lên cần giấy xác nhận của cơ sở y tế.",
            "Lao động nữ được nghỉ thai sản 6 tháng. Lao động nam có vợ sinh con được nghỉ 7 ngày làm việc, trong "
            "đó công ty trả lương thêm 2 ngày so với mức của Bảo hiểm xã hội.",
            "Nhân viên kết hôn được nghỉ 3 ngày hưởng nguyên lương; con kết hôn được nghỉ 1 ngày. Khi cha, mẹ, "
            "vợ, chồng hoặc con qua đời, nhân viên được nghỉ 3 ngày hưởng nguyên lương.",
            "Nghỉ không lương do trưởng nhóm và Phòng Nhân sự thỏa thuận với nhân viên, tối đa 20 ngày mỗi năm.",
        ),
    ),
    (
        "5. Phúc lợi và liên hệ",
        (
            "Công ty mua bảo hiểm sức khỏe cho nhân viên chính thức với hạn mức 100.000.000 đồng mỗi năm và khám "
            "sức khỏe định kỳ vào tháng 9. Người thân của nhân viên có thể tham gia với mức phí ưu đãi.",
            "Nhân viên chính thức được hỗ trợ ăn trưa 45.000 đồng mỗi ngày làm việc và tiền gửi xe theo hóa đơn, "
            "tối đa 200.000 đồng mỗi tháng. Ngân sách đào tạo là 8.000.000 đồng mỗi người mỗi năm.",
            "Thưởng tháng lương thứ 13 được trả trước Tết Nguyên đán cho nhân viên làm việc từ 6 tháng trở lên, "
            "theo tỷ lệ số tháng làm việc trong năm.",
            "Câu hỏi về quy định này xin gửi tới Phòng Nhân sự qua địa chỉ nhansu@trexanh.example hoặc số máy nội "
            "bộ 118. Khiếu nại được trả lời bằng văn bản trong vòng 7 ngày làm việc.",
        ),
    ),
)


class PolicyPdf(FPDF):
    """Pages with a running header and a page number, as most real policies have them."""

    def header(self) -> None:
        self.set_font("DejaVu", size=8)
        self.cell(0, 6, f"Tre Xanh Software · {HR_TITLE}", new_x="LMARGIN", new_y="NEXT")
        self.ln(6)

    def footer(self) -> None:
        self.set_y(-15)
        self.set_font("DejaVu", size=8)
        self.cell(0, 6, f"Trang {self.page_no()}/{len(HR_PAGES)}", align="C")


def make_hr_policy(fonts: Path) -> None:
    pdf = PolicyPdf(format="A4")
    pdf.set_title(HR_TITLE)
    pdf.set_author("Tre Xanh Software")
    pdf.set_lang("vi")
    pdf.set_creation_date(MADE_AT)
    pdf.set_margins(25, 20)
    pdf.add_font("DejaVu", fname=fonts / "DejaVuSans.ttf")
    pdf.add_font("DejaVu", style="B", fname=fonts / "DejaVuSans-Bold.ttf")
    for number, (heading, paragraphs) in enumerate(HR_PAGES):
        pdf.add_page()
        if number == 0:
            pdf.set_font("DejaVu", style="B", size=20)
            pdf.multi_cell(0, 10, "Chính sách nhân sự 2026", align="L", new_x="LMARGIN", new_y="NEXT")
            pdf.ln(4)
        pdf.set_font("DejaVu", style="B", size=14)
        pdf.multi_cell(0, 8, heading, align="L", new_x="LMARGIN", new_y="NEXT")
        pdf.ln(2)
        pdf.set_font("DejaVu", size=11)
        for paragraph in paragraphs:
            pdf.multi_cell(0, 6, paragraph, align="L", new_x="LMARGIN", new_y="NEXT")
            pdf.ln(3)
    pdf.output(str(DOCUMENTS / "doc_hr_2026.pdf"))


def make_purchasing() -> None:
    document = _new_word("Quy trình mua sắm", "vi-VN")
    document.add_heading("Quy trình mua sắm", level=0)
    document.add_paragraph(
        "Quy trình này áp dụng cho mọi khoản mua hàng hóa và dịch vụ của Tre Xanh Software. Bộ phận Mua hàng "
        "thuộc Phòng Tài chính là đầu mối thực hiện."
    )
    document.add_heading("1. Hạn mức phê duyệt", level=1)
    document.add_paragraph("Người phê duyệt phụ thuộc vào giá trị đơn hàng, đã gồm thuế giá trị gia tăng:")
    _add_table(
        document,
        ("Giá trị đơn hàng", "Người phê duyệt", "Số báo giá tối thiểu"),
        ("Dưới 5.000.000 đồng", "Trưởng nhóm", "1"),
        ("Từ 5.000.000 đến 50.000.000 đồng", "Giám đốc bộ phận", "2"),
        ("Trên 50.000.000 đồng", "Tổng giám đốc", "3"),
    )
    document.add_paragraph("Không được chia nhỏ một đơn hàng để giảm cấp phê duyệt.")
    document.add_heading("2. Các bước thực hiện", level=1)
    for step in (
        "Người đề nghị lập phiếu yêu cầu trên hệ thống, nêu rõ mục đích và ngân sách.",
        "Bộ phận Mua hàng thu thập báo giá trong vòng 5 ngày làm việc.",
        "Người có thẩm quyền phê duyệt hoặc từ chối trong vòng 2 ngày làm việc.",
        "Bộ phận Mua hàng ký đơn đặt hàng và theo dõi giao hàng.",
        "Người đề nghị kiểm tra hàng và ký biên bản nghiệm thu trong vòng 3 ngày làm việc kể từ ngày nhận.",
    ):
        document.add_paragraph(step, style="List Number")
    document.add_heading("3. Nhà cung cấp và thanh toán", level=1)
    document.add_paragraph(
        "Nhà cung cấp mới phải được Phòng Tài chính thẩm định trước đơn hàng đầu tiên. Danh sách nhà cung cấp "
        "được rà soát mỗi năm một lần vào tháng 11."
    )
    document.add_paragraph(
        "Thời hạn thanh toán là 30 ngày kể từ ngày nhận hóa đơn hợp lệ. Đặt cọc không quá 30% giá trị đơn hàng và "
        "cần có chữ ký của Giám đốc Tài chính. Máy tính xách tay được thay mới sau 4 năm sử dụng."
    )
    _save_word(document, "quy_trinh_mua_sam.docx")


def make_security_policy() -> None:
    document = _new_word("Information Security Policy", "en-US")
    document.add_heading("Information Security Policy", level=0)
    document.add_paragraph(
        "This policy applies to everyone who works with the systems or the data of Tre Xanh Software, contractors "
        "included. The Security Team owns it and reviews it every January."
    )
    document.add_heading("Passwords and sign-in", level=1)
    document.add_paragraph(
        "Passwords are at least 14 characters long and are kept in the company's password manager. Multi-factor "
        "authentication is required for e-mail, source code and every production system. Passwords do not expire, "
        "but they are changed within 24 hours after a suspected leak. Accounts lock for 15 minutes after 8 failed "
        "attempts."
    )
    document.add_heading("Devices", level=1)
    for rule in (
        "Disks of laptops are encrypted before the laptop leaves the office.",
        "Screens lock after 5 minutes without input.",
        "Security updates are installed within 7 days after their release; critical ones within 48 hours.",
        "A lost or stolen device is reported to the Security Team within 1 hour, at any time of the day.",
    ):
        document.add_paragraph(rule, style="List Bullet")
    document.add_paragraph("Private phones may read e-mail only through the managed work profile.")
    document.add_heading("Classes of data", level=1)
    _add_table(
        document,
        ("Class", "Examples", "May be shared with"),
        ("Public", "Website, released documentation", "Anyone"),
        ("Internal", "Handbooks, meeting notes", "Employees and contractors"),
        ("Confidential", "Contracts, source code", "Named people under a non-disclosure agreement"),
        ("Restricted", "Customer data, salaries", "People on the access list of the data's owner"),
    )
    document.add_paragraph(
        "Restricted data is never copied to a laptop or sent by e-mail. Access to it is reviewed every 90 days. "
        "Logs of access are kept for 12 months."
    )
    document.add_heading("Reporting", level=1)
    document.add_paragraph(
        "Suspicious messages go to security@trexanh.example. Nobody is blamed for reporting a mistake of their "
        "own. New employees finish the security training within their first 10 working days, and everyone repeats "
        "it once a year."
    )
    _save_word(document, "it_security_policy.docx")


def _new_word(title: str, language: str) -> DocxDocument:
    document = docx.Document()
    properties = document.core_properties
    properties.title, properties.author, properties.language = title, "Tre Xanh Software", language
    properties.created = properties.modified = MADE_AT.replace(tzinfo=None)
    return document


def _add_table(document: DocxDocument, *rows: tuple[str, ...]) -> None:
    table = document.add_table(rows=0, cols=len(rows[0]), style="Table Grid")
    for row in rows:
        for cell, text in zip(table.add_row().cells, row, strict=True):
            cell.text = text


def _save_word(document: DocxDocument, name: str) -> None:
    """Save with fixed times: python-docx stamps each entry of the archive with the present one."""
    saved = io.BytesIO()
    document.save(saved)
    with zipfile.ZipFile(saved) as stamped, zipfile.ZipFile(DOCUMENTS / name, "w", zipfile.ZIP_DEFLATED) as fixed:
        for entry in stamped.infolist():
            fixed.writestr(
                zipfile.ZipInfo(entry.filename, MADE_AT.timetuple()[:6]), stamped.read(entry), zipfile.ZIP_DEFLATED
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fonts", type=Path, default=DEBIAN_FONTS, metavar="DIR")
    make_hr_policy(parser.parse_args().fonts)
    make_purchasing()
    make_security_policy()
