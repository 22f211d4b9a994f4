"""Text of an OFX file to a tree of elements: SGML (1.x) and XML (2.x) by one reader.

In SGML form an element's end tag may be left out (`<TRNAMT>-6.60<FITID>17`), and banks leave
out more than the standard allows, also in files that claim to be XML. The reader therefore
works from what a tag is followed by, with these rules:

* A tag followed by text is an element; the next tag ends it.
* A tag followed by a tag opens an aggregate. If the aggregate's end tag never comes before its
  parent's, it was an empty element (`<MEMO>` on its own line) and what followed belongs to
  the parent. Only the aggregates that statements are built from keep their content, since a
  bank that forgets `</BANKTRANLIST>` still means the list.
* A file that ends before `</OFX>` is truncated, however complete it looks.

Anything that could hide a transaction is an error, never skipped: text between elements, an
end tag of a statement aggregate that was not open, a second document in the file.

Deliberately absent: DTD validation, entity definitions, any fetching of anything.
"""

from __future__ import annotations

import html
import re
from html.entities import html5
from typing import Iterator, Union

from .failure import ValidationFailure

Raw = Union[str, "dict[str, Raw]", "list[Raw]"]

# Aggregates whose loss would change what a statement says. None of them nests in itself.
STRUCTURE = frozenset("""
    OFX SIGNONMSGSRSV1 SONRS STATUS
    BANKMSGSRSV1 STMTTRNRS STMTRS BANKACCTFROM BANKTRANLIST BANKTRANLISTP
    CREDITCARDMSGSRSV1 CCSTMTTRNRS CCSTMTRS CCACCTFROM
    INVSTMTMSGSRSV1 INVSTMTTRNRS INVSTMTRS INVACCTFROM INVTRANLIST INVBANKTRAN
    STMTTRN STMTTRNP
    """.split())

MAX_DEPTH = 64

_ROOT = re.compile(r"<OFX(?:\s[^<>]*)?>", re.IGNORECASE)
_TAG = re.compile(r"<(/?)([A-Za-z][\w.:-]*)(/|\s[^<>]*)?>")
_ENTITY = re.compile(r"&(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]*);")

_TWO_DOCUMENTS = "the file holds more than one OFX document: give each its own run"

# What people hand over instead of an OFX file, by how it begins.
_OTHER_FORMATS = (
    ("%pdf", "a PDF"),
    ("pk\x03\x04", "a ZIP archive or spreadsheet"),
    ("<!doctype html", "a web page"),
    ("<html", "a web page"),
    ("!type:", "a QIF file"),
    ("{", "JSON"),
)


class Element:
    """One OFX element (`text`) or aggregate (`children`). Tags are upper case."""

    __slots__ = ("tag", "line", "text", "children")

    def __init__(self, tag: str, line: int) -> None:
        self.tag = tag
        self.line = line
        self.text = ""
        self.children: list[Element] = []

    def child(self, tag: str) -> Element | None:
        """The first direct child with this tag."""
        return next((child for child in self.children if child.tag == tag), None)

    def value(self, tag: str) -> str:
        """The text of the first direct child with this tag; empty when there is none."""
        child = self.child(tag)
        return child.text if child is not None else ""

    def walk(self) -> Iterator[Element]:
        """This element and all below it, in document order."""
        pending = [self]
        while pending:
            element = pending.pop()
            yield element
            pending.extend(reversed(element.children))

    def raw(self) -> Raw:
        """The element as JSON data: text, or an object by tag, with lists where a tag repeats."""
        if not self.children:
            return self.text
        fields: dict[str, Raw] = {}
        for child in self.children:
            value = child.raw()
            if child.tag not in fields:
                fields[child.tag] = value
                continue
            earlier = fields[child.tag]
            if isinstance(earlier, list):
                earlier.append(value)
            else:
                fields[child.tag] = [earlier, value]
        return fields


def parse(text: str) -> Element:
    """The `OFX` element of a file's text.

    Raises `ValidationFailure`, with the line, for a file that is not OFX, is truncated, or is
    damaged in a way that could hide a transaction.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    root = _ROOT.search(text)
    if root is None:
        raise ValidationFailure(_not_ofx(text))
    return _Reader(text, root.start()).read()


def _not_ofx(text: str) -> str:
    if not text.strip():
        return "the statement file is empty: download it again"
    start = text.lstrip("\ufeff \t\n").lower()
    for prefix, name in _OTHER_FORMATS:
        if start.startswith(prefix):
            return f"the file is {name}, not OFX: ask the bank for OFX, QFX or Money format"
    return "the file has no <OFX> element: ask the bank for OFX, QFX or Money format"


def _unescape(text: str) -> str:
    """Character references to characters. A lone `&`, as in `A&P`, stays what it is."""

    def character(match: re.Match[str]) -> str:
        name = match.group(1)
        known = name.startswith("#") or f"{name};" in html5
        return html.unescape(match.group(0)) if known else match.group(0)

    return _ENTITY.sub(character, text)


class _Reader:
    """One pass over the text, with the stack of elements that are open."""

    def __init__(self, text: str, start: int) -> None:
        self._text = text
        self._at = start
        self._counted = 0
        self._line = 1
        self._open: list[Element] = []

    def read(self) -> Element:
        root: Element | None = None
        while root is None or self._open:
            tag = self._next_tag()
            if tag is None:
                raise self._truncated()
            closing, name, rest = tag.groups(default="")
            name = name.upper()
            if closing:
                self._end(name)
                continue
            self._start(name)
            root = root or self._open[0]
            if rest.endswith("/"):
                self._end(name)
        if _ROOT.search(self._text, self._at):
            raise ValidationFailure(_TWO_DOCUMENTS)
        return root

    def _next_tag(self) -> re.Match[str] | None:
        """The next tag; the text before it goes to the element that is open."""
        text, pieces = self._text, []
        while True:
            mark = text.find("<", self._at)
            if mark < 0:
                return None
            pieces.append(_unescape(text[self._at : mark]))
            if text.startswith("<![CDATA[", mark):
                end = self._skip_to(mark, "]]>")
                pieces.append(text[mark + len("<![CDATA[") : end])
            elif text.startswith("<!--", mark):
                self._skip_to(mark, "-->")
            elif text.startswith("<?", mark):
                self._skip_to(mark, "?>")
            else:
                tag = _TAG.match(text, mark)
                if tag is not None:
                    self._add_text("".join(pieces).strip())
                    self._line += text.count("\n", self._counted, mark)
                    self._counted = mark
                    self._at = tag.end()
                    return tag
                pieces.append("<")
                self._at = mark + 1

    def _skip_to(self, start: int, end: str) -> int:
        found = self._text.find(end, start)
        if found < 0:
            raise self._truncated()
        self._at = found + len(end)
        return found

    def _add_text(self, text: str) -> None:
        if not text:
            return
        if self._open:
            element = self._open[-1]
            if (
                not element.children
                and not element.text
                and element.tag not in STRUCTURE
            ):
                element.text = text
                return
        raise ValidationFailure(
            f"line {self._line}: text between elements, so the file is damaged: download it again"
        )

    def _start(self, name: str) -> None:
        if self._open and self._open[-1].text:
            self._open.pop()
        if name == "OFX" and self._open:
            raise ValidationFailure(_TWO_DOCUMENTS)
        if name in STRUCTURE and any(element.tag == name for element in self._open):
            self._end(name)  # its end tag was left out: none of these nests in itself
        if len(self._open) >= MAX_DEPTH:
            raise ValidationFailure(
                f"line {self._line}: elements nest deeper than {MAX_DEPTH}: this is no statement"
            )
        element = Element(name, self._line)
        if self._open:
            self._open[-1].children.append(element)
        self._open.append(element)

    def _end(self, name: str) -> None:
        if not any(element.tag == name for element in self._open):
            if name in STRUCTURE:
                raise ValidationFailure(
                    f"line {self._line}: </{name}> ends what was never begun, so the file is "
                    "damaged: download it again"
                )
            return
        while self._open[-1].tag != name:
            unclosed = self._open.pop()
            if unclosed.tag not in STRUCTURE:
                self._open[-1].children.extend(unclosed.children)
                unclosed.children = []
        self._open.pop()

    def _truncated(self) -> ValidationFailure:
        inside = next((e for e in reversed(self._open) if e.tag in STRUCTURE), None)
        where = (
            f" inside {inside.tag} (line {inside.line})" if inside is not None else ""
        )
        return ValidationFailure(
            f"the file ends{where} before </OFX>: it is truncated, download it again"
        )
