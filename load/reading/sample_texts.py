"""What the files of known content say: everyday texts of offices, with letters and figures that are read wrongly."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Sample:
    """A heading, paragraphs without mark-up, and a table whose first row names its columns."""

    name: str
    heading: str
    paragraphs: Sequence[str]
    table: Sequence[Sequence[str]]


SAMPLES: Final = (
    Sample(
        "nghi-phep",
        "Quy định nghỉ phép năm 2026",
        (
            "Nhân viên chính thức được nghỉ mười hai ngày phép có hưởng lương trong mỗi năm dương lịch.",
            "Phép chưa dùng được chuyển sang năm sau, nhưng không quá 5 ngày và không quá ngày 31/03/2027.",
            "Người xin nghỉ gửi đơn trước ít nhất 3 ngày làm việc; trưởng phòng duyệt trong vòng 24 giờ.",
        ),
        (
            ("Thâm niên", "Số ngày", "Ghi chú"),
            ("Dưới 5 năm", "12", "Tính theo tháng"),
            ("Từ 5 đến 10 năm", "13", "Cộng thêm một ngày"),
            ("Trên 10 năm", "14.5", "Kể cả nửa ngày"),
        ),
    ),
    Sample(
        "cong-tac-phi",
        "Định mức công tác phí",
        (
            "Công tác phí trong nước được thanh toán theo hoá đơn, tối đa 1.250.000 đồng một đêm tại Hà Nội.",
            "Khoảng cách dưới 30 km không được tính phụ cấp lưu trú; xăng xe tính 0,35 lít cho mỗi km.",
            "Hồ sơ nộp cho phòng Kế toán chậm nhất 10 ngày sau chuyến đi, quá hạn phải có chữ ký giám đốc.",
        ),
        (
            ("Nơi đến", "Phòng", "Ăn uống", "Đi lại"),
            ("Hà Nội", "1250000", "350000", "Tàu hoặc máy bay"),
            ("Đà Nẵng", "1100000", "300000", "Máy bay"),
            ("Huế", "900000", "280000", "Tàu"),
        ),
    ),
    Sample(
        "parking",
        "Parking rules for the Harbour Street office",
        (
            "Staff may park on levels 2 and 3 from 06:30 to 22:00; visitors use the 14 bays beside the ramp.",
            "A bay is booked by e-mail – no later than 17:00 on the day before – and costs £4.50 a day.",
            "Cars that stay overnight without a permit are charged £35, which is not refunded.",
        ),
        (
            ("Level", "Bays", "Height in m", "For whom"),
            ("Two", "48", "2.05", "Staff with a permit"),
            ("Three", "52", "1.9", "Staff and car pools"),
            ("Ramp", "14", "2.3", "Visitors"),
        ),
    ),
    Sample(
        "laboratory",
        "Safety of the materials laboratory",
        (
            "Nobody works alone after 18:00, and every flask of more than 2.5 l carries its owner’s name and a date.",
            "The fume cupboards are checked each quarter; an air speed below 0.5 m/s closes the cupboard at once.",
            "Acids and solvents are never kept together: “one shelf, one class” is the rule of the façade cabinets.",
        ),
        (
            ("Class", "Cabinet", "Limit in l", "Keeper"),
            ("Acids", "Blue", "10", "Zoë Müller"),
            ("Solvents", "Red", "25", "José Peña"),
            ("Bases", "Green", "12.5", "Łukasz Żak"),
        ),
    ),
)
