"""What a parsed OFX document says: the bank's statuses, and its accounts' statements."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .failure import AuthFailure, TemporaryFailure, ValidationFailure
from .ofx import Element
from .values import shorten

# Statement aggregate: kind of account, and the aggregate that identifies it.
_STATEMENTS = {
    "STMTRS": ("bank", "BANKACCTFROM"),
    "CCSTMTRS": ("credit_card", "CCACCTFROM"),
    "INVSTMTRS": ("investment", "INVACCTFROM"),
}
_TRANSACTIONS = frozenset({"STMTTRN", "STMTTRNP"})
# What an investment statement lists besides its trades.
_NOT_A_TRADE = frozenset({"DTSTART", "DTEND", "INVBANKTRAN"})

_STATUS_CODE = re.compile("[0-9]{1,9}")
_UP_TO_DATE = 1
_MUST_AUTHENTICATE = frozenset({2005, 3000, 3001})
_WRONG_REQUEST = frozenset({2001, 2003, 2004, 2020, 2027, 2028})


@dataclass(frozen=True)
class Defaults:
    """What the job's parameters say of a file that leaves it out; empty for "nothing"."""

    account_id: str = ""
    currency: str = ""


@dataclass(frozen=True)
class Account:
    """An account: its number, and with its `parts` all that the bank tells it apart by."""

    kind: str
    number: str
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Statement:
    """One statement: an account and its transactions (`STMTTRN`, pending `STMTTRNP`)."""

    account: Account
    currency: str
    transactions: list[Element]
    ignored_trades: int


def check_status(root: Element) -> list[str]:
    """Raises what the bank reported as an error; returns its warnings.

    The sign-on is looked at first: without it no other status means anything.
    """
    elements = list(root.walk())
    warnings: list[str] = []
    for owner in [e for e in elements if e.tag == "SONRS"]:
        _check(owner, "the sign-on", warnings)
    for owner in [e for e in elements if e.tag.endswith("STMTTRNRS")]:
        _check(owner, f"{owner.tag} on line {owner.line}", warnings)
    return warnings


def _check(owner: Element, what: str, warnings: list[str]) -> None:
    status = owner.child("STATUS")
    if status is None:
        return
    text, severity = status.value("CODE"), status.value("SEVERITY").upper()
    if not _STATUS_CODE.fullmatch(text):
        raise ValidationFailure(
            f"{what}: status code `{shorten(text)}` is not a number, so the bank's answer is unknown"
        )
    code = int(text)
    message = shorten(status.value("MESSAGE"), 200).rstrip(".")
    said = f"{what} has status {code}" + (f": {message}" if message else "")
    if code == 0:
        return
    if 15000 <= code < 15600 or code in _MUST_AUTHENTICATE:
        # 15000, "change your password", arrives as INFO; nothing works until it is done.
        raise AuthFailure(
            f"{said}. Sign on again and download the statement anew", code
        )
    if severity in ("INFO", "WARN") or code == _UP_TO_DATE:
        warnings.append(said)
    elif code in _WRONG_REQUEST:
        raise ValidationFailure(
            f"{said}. Check the account and the dates that were asked for", code
        )
    else:
        raise TemporaryFailure(
            f"{said}. The bank could not answer: download the statement again", code
        )


def statements(root: Element, defaults: Defaults) -> list[Statement]:
    """Every bank, credit card and investment statement, in document order.

    Raises `ValidationFailure` when there is none, when one names no account and there is
    no default for it, or when a transaction belongs to none.
    """
    found = [_statement(e, defaults) for e in root.walk() if e.tag in _STATEMENTS]
    if not found:
        raise ValidationFailure(
            "the file holds no statement (STMTRS, CCSTMTRS or INVSTMTRS): "
            "download the account's transactions, not its profile or list of accounts"
        )
    owned = {id(element) for statement in found for element in statement.transactions}
    for element in root.walk():
        if element.tag in _TRANSACTIONS and id(element) not in owned:
            raise ValidationFailure(
                f"the transaction on line {element.line} is outside of any statement, so the file "
                "is damaged: download it again"
            )
    return found


def _statement(element: Element, defaults: Defaults) -> Statement:
    kind, identity = _STATEMENTS[element.tag]
    account = element.child(identity) or Element(identity, element.line)
    number = account.value("ACCTID") or defaults.account_id
    if not number:
        raise ValidationFailure(
            f"the statement on line {element.line} names no account (ACCTID in {identity}): "
            "set the parameter default_account_id if you know it"
        )
    around = [account.value(tag) for tag in ("BANKID", "BROKERID", "BRANCHID")]
    parts = (kind, *around, number, account.value("ACCTTYPE"))
    inside = list(element.walk())
    return Statement(
        account=Account(kind, number, tuple(filter(None, parts))),
        currency=element.value("CURDEF").upper() or defaults.currency,
        transactions=[e for e in inside if e.tag in _TRANSACTIONS],
        ignored_trades=sum(
            trade.tag not in _NOT_A_TRADE
            for trades in inside
            if trades.tag == "INVTRANLIST"
            for trade in trades.children
        ),
    )
