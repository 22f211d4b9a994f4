"""Statements to tx_v1 transactions: which field says what, and exact money."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Context, Decimal

from .failure import ValidationFailure
from .identity import Entry, identify
from .ofx import Element, Raw
from .statement import Account, Statement
from .values import parse_amount, parse_datetime, rfc3339, shorten

# Wide enough to add any number of amounts of 32 digits without rounding.
_EXACT = Context(prec=64)
_MAX_PROBLEMS_NAMED = 5
_CURRENCY = re.compile("[A-Z]{3}")
# Where the standard leaves no doubt; PAYMENT, for one, depends on the kind of account.
_SIGN_OF_TYPE = {"CREDIT": 1, "DEP": 1, "DIRECTDEP": 1, "DEBIT": -1, "CHECK": -1}


@dataclass(frozen=True)
class Transaction:
    """One tx_v1 record; its fields are the record's, in this order."""

    source_id: str
    account_id: str
    transaction_id: str
    posted_at: str
    amount: Decimal
    currency: str
    description: str
    pending: bool
    raw: Raw
    ingested_at: str
    extraction_run_id: str

    def json_line(self) -> str:
        """One line of JSON, the amount written from the decimal and never through a float."""
        fields = (f'"{name}":{_literal(value)}' for name, value in vars(self).items())
        return "{" + ",".join(fields) + "}\n"


def _literal(value: object) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True)
class Stamp:
    """What every record of a run has in common."""

    source_id: str
    run_id: str
    ingested_at: datetime


@dataclass
class AccountTotal:
    """What was extracted for one account: `net` is the exact sum of its amounts by currency."""

    account: Account
    account_id: str
    transactions: int = 0
    net: dict[str, Decimal] = field(default_factory=dict)

    def add(self, transaction: Transaction) -> None:
        """Counts a transaction of this account."""
        self.transactions += 1
        so_far = self.net.get(transaction.currency, Decimal(0))
        self.net[transaction.currency] = _EXACT.add(so_far, transaction.amount)

    def report(self) -> dict[str, object]:
        """For the result's data; sums are text, since JSON readers may use floats."""
        return {
            "account_id": self.account_id,
            "kind": self.account.kind,
            "transactions": self.transactions,
            "net": {currency: format(net, "f") for currency, net in self.net.items()},
        }


@dataclass(frozen=True)
class Extract:
    """Transactions in document order, totals by account, and notes on what to look at."""

    transactions: list[Transaction]
    totals: list[AccountTotal]
    notes: list[str]


def normalise(statements: list[Statement], stamp: Stamp) -> Extract:
    """All transactions, or a `ValidationFailure` that names every one that can not be used."""
    notes: list[str] = []
    entries = identify(statements, notes)
    account_ids = _account_ids(statements)
    totals = {
        account: AccountTotal(account, name) for account, name in account_ids.items()
    }
    transactions: list[Transaction] = []
    problems: list[str] = []
    unexpected_signs = 0
    for entry in entries:
        try:
            transaction = _transaction(entry, account_ids[entry.account], stamp)
        except ValueError as error:
            problems.append(f"{entry.place}: {error}")
            continue
        transactions.append(transaction)
        totals[entry.account].add(transaction)
        expected = _SIGN_OF_TYPE.get(entry.element.value("TRNTYPE").upper(), 0)
        unexpected_signs += expected * transaction.amount < 0
    if problems:
        raise ValidationFailure(_summary(problems, len(entries)))
    trades = sum(statement.ignored_trades for statement in statements)
    if trades:
        notes.append(f"{trades} investment trades left out: only their cash is tx_v1")
    if unexpected_signs:
        notes.append(
            f"{unexpected_signs} amounts have another sign than their TRNTYPE: kept as written"
        )
    return Extract(transactions, list(totals.values()), notes)


def _account_ids(statements: list[Statement]) -> dict[Account, str]:
    """The account's number, or all its parts where two accounts share a number."""
    accounts = dict.fromkeys(statement.account for statement in statements)
    numbers = Counter(account.number for account in accounts)
    return {
        account: (
            account.number if numbers[account.number] == 1 else "/".join(account.parts)
        )
        for account in accounts
    }


def _transaction(entry: Entry, account_id: str, stamp: Stamp) -> Transaction:
    """Raises `ValueError` with everything that is wrong with the entry."""
    element, problems = entry.element, []
    pending = element.tag == "STMTTRNP"
    date_field = "DTTRAN" if pending else "DTPOSTED"
    posted_at, amount = stamp.ingested_at, Decimal(0)
    tags = Counter(child.tag for child in element.children)
    for tag in (date_field, "TRNAMT", "FITID"):
        if tags[tag] > 1:  # two transactions that damage has run together
            problems.append(f"{tag} occurs {tags[tag]} times")
    try:
        posted_at = parse_datetime(element.value(date_field))
    except ValueError as error:
        problems.append(f"{date_field} {error}")
    try:
        amount = parse_amount(element.value("TRNAMT"))
    except ValueError as error:
        problems.append(f"TRNAMT {error}")
    currency = _currency(entry)
    if not currency:
        problems.append("no CURDEF: set the parameter default_currency if you know it")
    elif not _CURRENCY.fullmatch(currency):
        problems.append(f"currency `{shorten(currency)}` is not an ISO 4217 code")
    if problems:
        raise ValueError("; ".join(problems))
    return Transaction(
        source_id=stamp.source_id,
        account_id=account_id,
        transaction_id=entry.transaction_id,
        posted_at=rfc3339(posted_at),
        amount=amount,
        currency=currency,
        description=_description(element),
        pending=pending,
        raw=element.raw(),
        ingested_at=rfc3339(stamp.ingested_at),
        extraction_run_id=stamp.run_id,
    )


def _currency(entry: Entry) -> str:
    """The currency that TRNAMT itself is in.

    CURRENCY says that it is another than the statement's. ORIGCURRENCY says that the bank has
    converted the amount into the statement's, so that one is in `raw` only.
    """
    override = entry.element.child("CURRENCY")
    if override is None:
        return entry.currency
    return (override.text or override.value("CURSYM")).upper()


def _description(element: Element) -> str:
    """The first that says something: NAME, PAYEE, EXTDNAME, MEMO, then type and check number."""
    payee = element.child("PAYEE")
    candidates = (
        element.value("NAME"),
        (payee.text or payee.value("NAME")) if payee is not None else "",
        element.value("EXTDNAME"),
        element.value("MEMO"),
        f"{element.value('TRNTYPE')} {element.value('CHECKNUM')}",
    )
    for text in candidates:
        printable = "".join(c if c.isprintable() else " " for c in text)
        if printable.strip():
            return " ".join(printable.split())
    return "no description"


def _summary(problems: list[str], total: int) -> str:
    named = "; ".join(problems[:_MAX_PROBLEMS_NAMED])
    more = len(problems) - _MAX_PROBLEMS_NAMED
    rest = f"; and {more} more" if more > 0 else ""
    return f"{len(problems)} of {total} transactions can not be used: {named}{rest}"
