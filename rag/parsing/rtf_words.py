"""Name the control words of rich text, by what they do.

Source: Rich Text Format Specification, version 1.9.1.
"""

from typing import Final

# By \fcharset; others, and 1, are in the code page of the file.
CODE_PAGES: Final = {
    0: "cp1252", 77: "mac_roman", 128: "cp932", 129: "cp949", 134: "cp936", 136: "cp950", 161: "cp1253", 162: "cp1254",
    163: "cp1258", 177: "cp1255", 178: "cp1256", 186: "cp1257", 204: "cp1251", 222: "cp874", 238: "cp1250",
}  # fmt: skip
FILE_CODE_PAGES: Final = {"ansi": "cp1252", "mac": "mac_roman", "pc": "cp437", "pca": "cp850"}
SYMBOLS: Final = {
    "tab": "\t", "line": "\n", "lquote": "‘", "rquote": "’", "ldblquote": "“", "rdblquote": "”", "bullet": "•",
    "endash": "–", "emdash": "—", "emspace": " ", "enspace": " ", "qmspace": " ", "nestcell": " ", "nestrow": "\n",
    "softline": "\n", "~": " ", "_": "-",
}  # fmt: skip
DIRECTIONS: Final = {"super": 1, "sub": -1, "nosupersub": 0}
PARAGRAPH_ENDS: Final = frozenset({"par", "sect", "page", "column"})
LEFT_OUT: Final = frozenset(
    {
        "colortbl", "filetbl", "revtbl", "rsidtbl", "listtable", "listoverridetable", "header", "headerl", "headerr",
        "headerf", "footer", "footerl", "footerr", "footerf", "ftnsep", "ftnsepc", "ftncn", "aftnsep", "aftnsepc",
        "aftncn", "fldinst", "datafield", "xe", "tc", "txe", "rxe", "sp", "shprslt", "nonshppict", "objdata",
        "objclass", "objname", "nonesttables", "annotation", "atnid", "atnauthor", "atrfstart", "atrfend", "bkmkstart",
        "bkmkend", "themedata", "colorschememapping", "latentstyles", "datastore", "generator", "pnseclvl", "pn",
        "template", "falt", "panose", "fontemb",
    }
)  # fmt: skip
# Those that are told by `\*` to old readers, and hold text.
HOLDING_TEXT: Final = frozenset({"footnote", "shpinst", "shppict", "endnote", "ud"})  # ud: again in Unicode
OWN_FLOWS: Final = frozenset({"footnote", "endnote", "shptxt"})
LIST_MARKS: Final = ("listtext", "pntext")
