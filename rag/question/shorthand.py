"""Know the usual shorthand of messages, in both languages."""

from collections.abc import Mapping
from typing import Final

# Usual shorthand in Vietnamese messages. A shorthand that some document holds is not expanded.
SHORTHAND_VI: Final[Mapping[str, str]] = {
    "cty": "công ty", "ct": "công ty", "nv": "nhân viên", "nvien": "nhân viên", "dc": "được", "đc": "được",
    "ko": "không", "k": "không", "kg": "không", "hok": "không", "khg": "không", "kh": "khách hàng", "bn": "bao nhiêu",
    "bnhieu": "bao nhiêu", "bhyt": "bảo hiểm y tế", "bhxh": "bảo hiểm xã hội", "bhtn": "bảo hiểm thất nghiệp",
    "bh": "bảo hành", "lg": "lương", "tg": "thời gian", "sdt": "số điện thoại", "sđt": "số điện thoại",
    "dt": "điện thoại", "đt": "điện thoại", "hd": "hợp đồng", "hđ": "hợp đồng", "hdld": "hợp đồng lao động",
    "hđlđ": "hợp đồng lao động", "ld": "lao động", "nld": "người lao động", "nlđ": "người lao động", "j": "gì",
    "z": "vậy", "vs": "với", "ntn": "như thế nào", "tn": "thế nào", "sp": "sản phẩm", "dh": "đơn hàng",
    "đh": "đơn hàng", "tk": "tài khoản", "mk": "mật khẩu", "ck": "chuyển khoản", "gd": "giao dịch", "ng": "người",
    "ngta": "người ta", "cv": "công việc", "gv": "giáo viên", "hs": "hồ sơ", "sv": "sinh viên", "tháng": "tháng",
    "thg": "tháng", "ngay": "ngày", "hnay": "hôm nay", "cn": "chủ nhật", "vp": "văn phòng", "pb": "phòng ban",
    "freeship": "miễn phí giao hàng", "ship": "giao hàng", "cod": "thanh toán khi nhận hàng", "sale": "giảm giá",
    "qly": "quản lý", "ql": "quản lý", "gđ": "giám đốc", "tts": "thực tập sinh", "mn": "mọi người",
    "tt": "thanh toán",
}  # fmt: skip
SHORTHAND_EN: Final[Mapping[str, str]] = {
    "pls": "please", "plz": "please", "u": "you", "ur": "your", "r": "are", "hrs": "hours", "hr": "hour",
    "mgr": "manager", "dept": "department", "pwd": "password", "acct": "account", "appt": "appointment",
    "yrs": "years", "yr": "year", "mins": "minutes", "wks": "weeks", "wk": "week", "mths": "months",
    "info": "information", "docs": "documents", "reqs": "requirements", "approx": "approximately", "emp": "employee",
    "mgmt": "management", "w/o": "without", "amt": "amount", "qty": "quantity", "addr": "address", "tel": "telephone",
    "thru": "through",
}  # fmt: skip
# What a word may be short for, in either language.
SHORTHAND: Final[Mapping[str, tuple[str, ...]]] = {
    word: tuple(table[word] for table in (SHORTHAND_VI, SHORTHAND_EN) if word in table)
    for word in {*SHORTHAND_VI, *SHORTHAND_EN}
}


def is_shorthand(word: str) -> bool:
    """Return whether the word is Vietnamese shorthand."""
    return word in SHORTHAND_VI
