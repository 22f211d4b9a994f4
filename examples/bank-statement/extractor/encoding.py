"""Bytes of a statement file to text, by the charset that the bytes show or the header names.

Headers are unreliable here: files that declare `CHARSET:1252` and are UTF-8 are common. Text
in an eight-bit charset is practically never valid UTF-8 by accident, so UTF-8 is tried before
the declared charset. Only names and memos can be affected: everything else is ASCII.
"""

from __future__ import annotations

import codecs
import re

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

# `CHARSET:1252` (OFX 1.x) or `encoding="ISO-8859-1"` (the XML declaration of OFX 2.x). Some
# files have the whole 1.x header on one line without blanks, hence the stop at COMPRESSION.
_CHARSET = re.compile(
    rb"""(?:CHARSET\s*[:>=]\s*|<\?xml[^>]*\sencoding\s*=\s*["'])([\w.:-]+?)(?=COMPRESSION|[^\w.:-]|$)""",
    re.IGNORECASE,
)

_HEADER_BYTES = 1024


def decode(data: bytes) -> str:
    """The text of `data`. Never fails: Windows-1252, then Latin-1, take what is left."""
    for mark, charset in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return data.decode(charset, errors="replace")
    for charset in ("utf-8", _declared_charset(data), "cp1252"):
        try:
            return data.decode(charset)
        except (LookupError, UnicodeError):
            continue
    return data.decode("latin-1")


def _declared_charset(data: bytes) -> str:
    """The codec name of the header's charset; `cp1252` when it names none."""
    match = _CHARSET.search(data[:_HEADER_BYTES])
    if match is None:
        return "cp1252"
    name = match.group(1).decode("ascii", errors="replace").lower()
    if name.isdigit():
        return f"cp{name}"
    return f"iso-{name}" if name.startswith("8859-") else name
