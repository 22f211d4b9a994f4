"""OFX amounts and dates, exactly: decimal text to `Decimal`, date text to an aware datetime.

Both functions raise `ValueError` with a phrase that completes "<field> ...".
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from decimal import Decimal

# The standard's own limit for an amount.
_MAX_AMOUNT_CHARACTERS = 32

_NUMBER = re.compile(r"([+-]?)([0-9.,]*[0-9][0-9.,]*)")
_THOUSANDS = re.compile(r"[0-9]{1,3}([.,])[0-9]{3}(?:\1[0-9]{3})*")
# `1,234`: over a thousand, or a bit over one? `1.234` is not in doubt: the point is the
# standard's decimal mark, the comma a permitted second.
_AMBIGUOUS = re.compile(r"[1-9][0-9]{0,2},[0-9]{3}")

_DATE = re.compile(
    r"([0-9]{4})([0-9]{2})([0-9]{2})"
    r"(?:([0-9]{2})([0-9]{2})(?:([0-9]{2})(?:[.:,]([0-9]{1,6}))?)?)?"
    r"\s*(?:\[([^\]]*)\])?"
)
# Hours, with a fraction (`-3.5`) or minutes (`5:30`, `+0530`), then the zone's name.
_OFFSET = re.compile(r"([+-]?)([0-9]{1,2})(?:\.([0-9]{1,2})|:?([0-9]{2}))?(?:\s*:.*)?")
_MAX_OFFSET = timedelta(hours=14)

# For files that give only a zone's name: the offsets that RFC 5322 (obs-zone) defines.
_NAMED_OFFSETS = {
    "": 0,
    "GMT": 0,
    "UTC": 0,
    "EDT": -4,
    "EST": -5,
    "CDT": -5,
    "CST": -6,
    "MDT": -6,
    "MST": -7,
    "PDT": -7,
    "PST": -8,
}


def parse_amount(text: str) -> Decimal:
    """A signed amount, with a point or a comma as its decimal mark.

    Keeps the digits after the mark as they are written (`-22.00` has two); zero has no sign.
    Marks for thousands are outside the standard: read where they can mean nothing else
    (`1,234.56`), refused where they can (`1,234`).
    """
    if not text:
        raise ValueError("is missing")
    number = _NUMBER.fullmatch(text)
    if number is None or len(text) > _MAX_AMOUNT_CHARACTERS:
        raise ValueError(f"`{shorten(text)}` is not a decimal number")
    sign, digits = number.groups()
    if _AMBIGUOUS.fullmatch(digits):
        raise ValueError(f"`{text}` may mean thousands or a decimal comma")
    at = max(digits.rfind("."), digits.rfind(","))
    whole, mark, fraction = digits[:at], digits[at], digits[at + 1 :]
    if (
        at < 0 or mark in whole
    ):  # no mark, or one that occurs twice and so is not decimal
        whole, fraction = digits, ""
    if "." in whole or "," in whole:
        if _THOUSANDS.fullmatch(whole) is None:
            raise ValueError(f"`{text}` is not a decimal number")
        whole = whole.replace(",", "").replace(".", "")
    amount = Decimal(f"{sign}{whole or '0'}{'.' if fraction else ''}{fraction}")
    return amount if amount else amount.copy_abs()


def parse_datetime(text: str) -> datetime:
    """`YYYYMMDD[HHMM[SS[.XXX]]][[offset:name]]`; midnight and GMT where those are left out."""
    if not text:
        raise ValueError("is missing")
    match = _DATE.fullmatch(text)
    if match is None:
        raise ValueError(
            f"`{shorten(text)}` is not an OFX date (YYYYMMDD, then a time and a zone)"
        )
    year, month, day, hour, minute, second, fraction, zone = match.groups(default="")
    try:
        return datetime(
            int(year),
            int(month),
            int(day),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            int(fraction.ljust(6, "0")),
            tzinfo=timezone(_offset(zone.strip())),
        )
    except ValueError as error:
        raise ValueError(f"`{text}` is no date of the calendar ({error})") from None


def rfc3339(moment: datetime) -> str:
    """RFC 3339 with the moment's own offset; a fraction only where there is one."""
    text = moment.isoformat(
        timespec="milliseconds" if moment.microsecond else "seconds"
    )
    return text[: -len("+00:00")] + "Z" if text.endswith("+00:00") else text


def shorten(text: str, limit: int = 40) -> str:
    """`text` on one line and short enough to be quoted in an error."""
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _offset(zone: str) -> timedelta:
    if zone.upper() in _NAMED_OFFSETS:
        return timedelta(hours=_NAMED_OFFSETS[zone.upper()])
    match = _OFFSET.fullmatch(zone)
    if match is None:
        raise ValueError(f"unknown zone `{shorten(zone)}`")
    sign, hours, fraction, minutes = match.groups(default="")
    offset = timedelta(
        hours=int(hours), minutes=_minutes(fraction) if fraction else int(minutes or 0)
    )
    if offset > _MAX_OFFSET:
        raise ValueError(f"zone `{shorten(zone)}` is more than 14 hours from GMT")
    return -offset if sign == "-" else offset


def _minutes(fraction: str) -> int:
    """Minutes of an offset's fraction.

    The standard counts in hours (`.5`, `.50` and `.75` are 30, 30 and 45 minutes), but banks in
    India write `+5.30` for five and a half. No zone is 18 minutes off the hour, so what is not a
    quarter of an hour is read as minutes.
    """
    hundredths = int(fraction.ljust(2, "0"))
    return hundredths * 60 // 100 if hundredths % 25 == 0 else hundredths
