"""Why storage failed, in one line that says what to do, and whether trying again may help."""

import errno
import re
import socket
import urllib.error
from dataclasses import dataclass
from enum import Enum

import pyarrow as pa

from synatt.errors import UsageError
from synatt.storage.redaction import redact

# What filesystems raise; anything else is a mistake in the program.
FAILURES = (OSError, pa.ArrowException)


class StorageError(UsageError):
    """A path could not be listed, read or written."""


class Kind(Enum):
    """What went wrong, as far as it decides what to do."""

    NO_ANSWER = "no answer"
    BUSY = "busy"
    NOT_FOUND = "not found"
    NO_BUCKET = "no bucket"
    WRONG_KEY = "wrong key"
    DENIED = "denied"
    REFUSED = "refused"
    OTHER = "other"


@dataclass(frozen=True)
class Reason:
    """Why storage failed.

    Attributes:
        kind: what decides whether to try again.
        text: one line without credentials.
    """

    kind: Kind
    text: str

    @property
    def passes(self) -> bool:
        """True when the same request may succeed a little later."""
        return self.kind in (Kind.NO_ANSWER, Kind.BUSY)

    def __str__(self) -> str:
        return self.text


_KEYS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_NO_ANSWER = (Kind.NO_ANSWER, "storage does not answer, check the network and AWS_ENDPOINT_URL ({said})")
_BUSY = (Kind.BUSY, "storage is overloaded or failing ({said})")
_EXPIRED = (Kind.WRONG_KEY, "the session token has expired, renew it and AWS_SESSION_TOKEN")
_UNKNOWN_KEY = (Kind.WRONG_KEY, f"wrong key, storage does not know it: check {_KEYS}")
_DENIED = (Kind.DENIED, "access denied, the key may not do this here: check the bucket's policy and " + _KEYS)
_REGION = (Kind.OTHER, "the bucket is in another region: set AWS_REGION to it")
_MISSING = (Kind.NOT_FOUND, "nothing is there")

# By the name of the error as S3 or GCS spell it, without '_' and in small letters.
_BY_NAME: dict[str, tuple[Kind, str]] = {
    "networkconnection": _NO_ANSWER,
    "requesttimeout": _NO_ANSWER,
    "deadlineexceeded": _NO_ANSWER,
    "unavailable": _NO_ANSWER,
    "slowdown": _BUSY,
    "throttling": _BUSY,
    "throttlingexception": _BUSY,
    "toomanyrequests": _BUSY,
    "resourceexhausted": _BUSY,
    "internal": _BUSY,
    "internalerror": _BUSY,
    "internalfailure": _BUSY,
    "serviceunavailable": _BUSY,
    # A server that was restarted has forgotten the parts it was sent; they are sent again from the first.
    "nosuchupload": _BUSY,
    "nosuchbucket": (Kind.NO_BUCKET, "no such bucket, check its name and AWS_ENDPOINT_URL"),
    "nosuchkey": _MISSING,
    "notfound": _MISSING,
    "resourcenotfound": _MISSING,
    "invalidaccesskeyid": _UNKNOWN_KEY,
    "invalidclienttokenid": _UNKNOWN_KEY,
    "unrecognizedclient": _UNKNOWN_KEY,
    "unauthenticated": _UNKNOWN_KEY,
    "signaturedoesnotmatch": (Kind.WRONG_KEY, f"wrong secret for this key: check {_KEYS}"),
    "expiredtoken": _EXPIRED,
    "requestexpired": _EXPIRED,
    "accessdenied": _DENIED,
    "permissiondenied": _DENIED,
    "requesttimetooskewed": (Kind.OTHER, "this machine's clock is wrong, storage refuses signatures of another time"),
    "permanentredirect": _REGION,
    "authorizationheadermalformed": _REGION,
    "missingcontentlength": (
        Kind.OTHER,
        "the server knows no checksums of newer S3 clients: set AWS_REQUEST_CHECKSUM_CALCULATION=when_required",
    ),
}
_BY_STATUS: dict[int, tuple[Kind, str]] = {
    301: _REGION,
    401: _DENIED,
    403: _DENIED,
    404: _MISSING,
    408: _NO_ANSWER,
    411: _BY_NAME["missingcontentlength"],
    429: _BUSY,
}
_REFUSED = (Kind.REFUSED, "storage refused the request ({said})")

_NAME = re.compile(r"AWS Error (\w+)|ExceptionName: (\w+)|google::cloud::Status\((\w+)|<Code>(\w+)</Code>")
_STATUS = re.compile(r"HTTP status (\d+)|HTTP Error (\d+)", re.I)
# Where the telling part of a long error begins, best first.
_DETAILS = [re.compile(p) for p in (r"Details: (.+)", r"Message: (.+)", r"during (\w+ operation: .+)", r"\((\w+: .+)")]
_QUOTED = re.compile(r"'[^']*'")
_NO_CONNECTION = re.compile(
    r"connection (?:refused|reset|aborted|closed|timed out)|could not (?:connect|resolve)|timed? ?out\b|broken pipe"
    r"|temporary failure in name resolution|server disconnected|answer was cut",
    re.I,
)
# curl's codes for a certificate that does not fit: no network error, whatever the SDK calls it.
_CERTIFICATE = re.compile(r"curlCode: (?:51|58|60|77|83),")
_ERRNOS = {
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.ECONNABORTED,
    errno.ETIMEDOUT,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.ENETDOWN,
    errno.EPIPE,
}


def why(err: BaseException) -> Reason:
    """What `err`, raised by a filesystem or by reading what it gave, means."""
    said = redact(str(err)) or type(err).__name__
    kind, text = _classified(err, said)
    first_line = said.strip().splitlines()[0] if said.strip() else type(err).__name__
    return Reason(kind, text.replace("{said}", _details(" ".join(said.split()))) or first_line)


def _classified(err: BaseException, said: str) -> tuple[Kind, str]:
    # Without a text, the library's own words are the best there are.
    if _CERTIFICATE.search(said):
        return Kind.OTHER, "the server's certificate is not trusted: check AWS_ENDPOINT_URL and AWS_CA_BUNDLE ({said})"
    names = ("".join(found).replace("_", "").lower() for found in _NAME.findall(said))
    for name in names:
        if name in _BY_NAME:
            return _BY_NAME[name]
    status = _status(err, said)
    if status:
        return _BY_STATUS.get(status, _BUSY if status >= 500 else _REFUSED)
    if isinstance(err, FileNotFoundError):
        return Kind.NOT_FOUND, ""
    if (
        isinstance(err, ConnectionError | TimeoutError | socket.gaierror)
        or (isinstance(err, OSError) and err.errno in _ERRNOS)
        or (isinstance(err, OSError) and _NO_CONNECTION.search(_QUOTED.sub("", said)))
    ):
        return _NO_ANSWER
    return Kind.OTHER, ""


def _status(err: BaseException, said: str) -> int:
    if isinstance(err, urllib.error.HTTPError):
        return err.code
    found = _STATUS.search(said)
    return int(found[1] or found[2]) if found else 0


def _details(said: str) -> str:
    found = next((match for pattern in _DETAILS if (match := pattern.search(said))), None)
    return found[1] if found else said
