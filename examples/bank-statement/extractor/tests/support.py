"""Statements for the tests, each built from what the test is about."""

from __future__ import annotations

from datetime import datetime, timezone

from extractor.encoding import decode
from extractor.normalise import Extract, Stamp, normalise
from extractor.ofx import parse
from extractor.statement import Defaults, check_status, statements

SGML_HEADER = (
    "OFXHEADER:100\nDATA:OFXSGML\nVERSION:102\nSECURITY:NONE\nENCODING:USASCII\n"
    "CHARSET:1252\nCOMPRESSION:NONE\nOLDFILEUID:NONE\nNEWFILEUID:NONE\n\n"
)
XML_HEADER = (
    '<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n'
    '<?OFX OFXHEADER="200" VERSION="211" SECURITY="NONE" OLDFILEUID="NONE" '
    'NEWFILEUID="NONE"?>\n'
)
STAMP = Stamp("river_bank", "run-1", datetime(2024, 3, 5, 6, 15, tzinfo=timezone.utc))


def transaction(**fields: str) -> str:
    """A transaction with these fields over usual ones; an empty text leaves the field out."""
    usual = {
        "TRNTYPE": "DEBIT",
        "DTPOSTED": "20240301",
        "TRNAMT": "-1.00",
        "FITID": "1",
        "NAME": "Shop",
    }
    given = {tag: text for tag, text in {**usual, **fields}.items() if text}
    return "<STMTTRN>" + "".join(f"<{t}>{v}" for t, v in given.items()) + "</STMTTRN>\n"


def bank(*transactions: str, account: str = "<ACCTID>77", currency: str = "EUR") -> str:
    """A bank statement of one account."""
    return (
        "<STMTTRNRS><TRNUID>0<STATUS><CODE>0<SEVERITY>INFO</STATUS><STMTRS>"
        f"<CURDEF>{currency}<BANKACCTFROM>{account}</BANKACCTFROM><BANKTRANLIST>"
        f"<DTSTART>20240301<DTEND>20240331\n{''.join(transactions)}</BANKTRANLIST>"
        "<LEDGERBAL><BALAMT>10.00<DTASOF>20240331</LEDGERBAL></STMTRS></STMTTRNRS>\n"
    )


def document(*messages: str, sign_on: str = "<CODE>0<SEVERITY>INFO") -> str:
    """An OFX document without its header."""
    return (
        f"<OFX><SIGNONMSGSRSV1><SONRS><STATUS>{sign_on}</STATUS><LANGUAGE>ENG</SONRS>"
        f"</SIGNONMSGSRSV1><BANKMSGSRSV1>\n{''.join(messages)}</BANKMSGSRSV1></OFX>\n"
    )


def extract(file: str | bytes, defaults: Defaults = Defaults()) -> Extract:
    """What the job makes of a file, without the process around it."""
    root = parse(decode(file if isinstance(file, bytes) else file.encode()))
    check_status(root)
    return normalise(statements(root, defaults), STAMP)


def extract_one(**fields: str) -> Extract:
    """What the job makes of a statement with one transaction of these fields."""
    return extract(document(bank(transaction(**fields))))
