"""Which transactions a file really holds, and an id for each that stays the same.

A tx_v1 transaction is unique by source, account and transaction id. Banks number theirs
(FITID), but not always, and not always well:

* The FITID is the id.
* No FITID, or one of zeros only: `derived-` and a hash of the transaction's own fields, so
  the same transaction has the same id in the next download.
* One FITID on transactions that differ: each gets the hash after its FITID.
* Alike in every field, within one statement: both stand, the second as `~2`, since the
  statement lists two postings. Alike across two statements of one account in the file: the
  periods overlap, so it is taken once.
* A correction (CORRECTFITID) takes the place of what it corrects, or deletes it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass

from .failure import ValidationFailure
from .ofx import Element
from .statement import Account, Statement
from .values import shorten

_ACTIONS = ("REPLACE", "DELETE")


@dataclass(frozen=True)
class Entry:
    """One transaction to extract, where it was found, and its id."""

    account: Account
    currency: str
    element: Element
    ordinal: int
    transaction_id: str

    @property
    def place(self) -> str:
        """Where it stands, for errors: its number in its statement, FITID and line."""
        fitid = self.element.value("FITID")
        named = f"FITID {shorten(fitid)}, " if fitid else ""
        return f"transaction {self.ordinal} ({named}line {self.element.line})"


@dataclass(frozen=True)
class _Candidate:
    statement: Statement
    element: Element
    ordinal: int
    fitid: str
    fingerprint: str
    copy: int

    @property
    def account(self) -> Account:
        return self.statement.account


def identify(statements: list[Statement], notes: list[str]) -> list[Entry]:
    """The file's transactions in document order, each once, each with its id.

    Appends to `notes` what was left out. Raises `ValidationFailure` where the bank's numbers
    leave it open which transactions there are.
    """
    candidates = _without_overlaps(statements, notes)
    candidates = _with_corrections(candidates, notes)
    variants = {(c.account, c.fitid, c.fingerprint) for c in candidates}
    shared = Counter((account, fitid) for account, fitid, _ in variants)
    entries = [
        Entry(
            account=candidate.account,
            currency=candidate.statement.currency,
            element=candidate.element,
            ordinal=candidate.ordinal,
            transaction_id=_transaction_id(
                candidate, shared[candidate.account, candidate.fitid] > 1
            ),
        )
        for candidate in candidates
    ]
    _require_unique(entries)
    return entries


def _without_overlaps(
    statements: list[Statement], notes: list[str]
) -> list[_Candidate]:
    seen: set[tuple[Account, str, str, int]] = set()
    candidates = []
    overlaps = 0
    for statement in statements:
        copies: Counter[tuple[str, str]] = Counter()
        for ordinal, element in enumerate(statement.transactions, start=1):
            fitid = _number(element, "FITID")
            fingerprint = _fingerprint(element)
            copies[fitid, fingerprint] += 1
            copy = copies[fitid, fingerprint]
            key = (statement.account, fitid, fingerprint, copy)
            if key in seen:
                overlaps += 1
                continue
            seen.add(key)
            candidates.append(
                _Candidate(statement, element, ordinal, fitid, fingerprint, copy)
            )
    if overlaps:
        notes.append(
            f"{overlaps} transactions stand in two statements of one account: taken once"
        )
    return candidates


def _with_corrections(
    candidates: list[_Candidate], notes: list[str]
) -> list[_Candidate]:
    corrections: dict[tuple[Account, str], _Candidate] = {}
    for candidate in candidates:
        corrected = _number(candidate.element, "CORRECTFITID")
        if not corrected:
            continue
        line = candidate.element.line
        if candidate.element.value("CORRECTACTION").upper() not in _ACTIONS:
            raise ValidationFailure(
                f"line {line}: CORRECTACTION is neither REPLACE nor DELETE: ask the bank"
            )
        first = corrections.setdefault((candidate.account, corrected), candidate)
        if first is not candidate:
            raise ValidationFailure(
                f"lines {first.element.line} and {line} both correct transaction "
                f"{shorten(corrected)}: ask the bank which one holds"
            )
    if not corrections:
        return candidates
    notes.append(
        f"{len(corrections)} transactions correct earlier ones (CORRECTFITID): "
        "exports of earlier statements still have those as they were"
    )
    return [c for c in candidates if _stands(c, corrections)]


def _stands(
    candidate: _Candidate, corrections: dict[tuple[Account, str], _Candidate]
) -> bool:
    """Whether a transaction is left after all corrections."""
    if _number(candidate.element, "CORRECTFITID"):
        return candidate.element.value("CORRECTACTION").upper() == "REPLACE"
    return (candidate.account, candidate.fitid) not in corrections


def _number(element: Element, tag: str) -> str:
    """A transaction number of the bank; zeros only are the same as none."""
    number = element.value(tag)
    return number if number.strip("0") else ""


def _fingerprint(element: Element) -> str:
    fields = json.dumps(element.raw(), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(fields.encode()).hexdigest()


def _transaction_id(candidate: _Candidate, differs: bool) -> str:
    if not candidate.fitid:
        name = f"derived-{candidate.fingerprint[:24]}"
    elif differs:
        name = f"{candidate.fitid}~{candidate.fingerprint[:8]}"
    else:
        name = candidate.fitid
    return name if candidate.copy == 1 else f"{name}~{candidate.copy}"


def _require_unique(entries: list[Entry]) -> None:
    """The last word, should a bank's own FITID look like an id that was made here."""
    lines: dict[tuple[Account, str], int] = {}
    for entry in entries:
        key = (entry.account, entry.transaction_id)
        if key in lines:
            raise ValidationFailure(
                f"lines {lines[key]} and {entry.element.line} both have the transaction id "
                f"{shorten(entry.transaction_id)}: ask the bank for unique FITIDs"
            )
        lines[key] = entry.element.line
