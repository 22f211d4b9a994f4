"""The ways this job fails, each with the class and exit code that Moorline acts on.

The class decides what happens to the source: `auth` marks it `needs_reauth`, `validation`
marks it `needs_repair`, `config` blocks it, and only `runtime` is ever retried.
"""

from __future__ import annotations


class JobFailure(Exception):
    """Ends the job. The text says what is wrong, where, and what to do about it.

    `code` is the bank's own status code, where there is one.
    """

    failure_class = "runtime"
    exit_code = 75

    def __init__(self, reason: str, code: int | None = None) -> None:
        super().__init__(reason)
        self.code = code


class AuthFailure(JobFailure):
    """The bank refused the sign-on that fetched the statement."""

    failure_class = "auth"
    exit_code = 77


class ValidationFailure(JobFailure):
    """The statement can not be turned into correct transactions."""

    failure_class = "validation"
    exit_code = 65


class TemporaryFailure(JobFailure):
    """The bank or this machine could not do it now; trying again may help."""


class ConfigFailure(JobFailure):
    """The job was started in a way that it can not run."""

    failure_class = "config"
    exit_code = 78
