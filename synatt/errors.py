"""Errors a person is meant to read: one line that says what was found, what was wanted and what to do."""


class SynattError(Exception):
    """Base of every error that Synatt raises on purpose."""


class UsageError(SynattError):
    """The command, a setting or an input path is wrong. Jobs print it as one line and exit with 2."""


class WorkError(SynattError):
    """The request was fine but the work failed. Jobs print it as one line and exit with 1."""
