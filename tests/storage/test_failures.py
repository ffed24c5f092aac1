"""What a filesystem's words mean: whether to ask again, and what to tell a person."""

import errno
import socket
import urllib.error
from email.message import Message

import pyarrow as pa
import pytest

from synatt.storage import Kind, why

SAID = "When reading information for key 'timed out/slowdown.wav' in bucket 'b': AWS Error "
TABLE = [
    (f"{SAID}NETWORK_CONNECTION during HeadObject operation: curlCode: 7, Could not connect to server; Details: "
     "Failed to connect to 127.0.0.1:19 after 0 ms: Could not connect to server", Kind.NO_ANSWER, "127.0.0.1:19"),
    (f"{SAID}NETWORK_CONNECTION during HeadObject operation: curlCode: 6, Could not resolve hostname; Details: Could "
     "not resolve host: no.such.host", Kind.NO_ANSWER, "(Could not resolve host: no.such.host)"),
    (f"{SAID}NETWORK_CONNECTION during HeadObject operation: curlCode: 60, SSL peer certificate was not OK",
     Kind.OTHER, "certificate is not trusted"),
    (f"{SAID}REQUEST_TIMEOUT during UploadPart operation: idle", Kind.NO_ANSWER, "does not answer"),
    (f"{SAID}SLOW_DOWN during GetObject operation: Reduce your request rate.", Kind.BUSY, "Reduce your request rate"),
    (f"{SAID}THROTTLING during GetObject operation: x", Kind.BUSY, "overloaded"),
    (f"{SAID}INTERNAL_FAILURE during PutObject operation: Internal Error", Kind.BUSY, "Internal Error"),
    (f"{SAID}SERVICE_UNAVAILABLE during PutObject operation: x", Kind.BUSY, "failing"),
    (f"{SAID}NO_SUCH_UPLOAD during UploadPart operation: gone", Kind.BUSY, "gone"),
    (f"{SAID}UNKNOWN (HTTP status 503) during HeadObject operation: No response body.", Kind.BUSY, "No response body"),
    (f"{SAID}UNKNOWN (HTTP status 429) during HeadObject operation: No response body.", Kind.BUSY, "overloaded"),
    (f"{SAID}ACCESS_DENIED during HeadObject operation: No response body.", Kind.DENIED, "access denied"),
    (f"{SAID}UNKNOWN (HTTP status 403) during X operation: No response body.", Kind.DENIED, "policy"),
    (f"{SAID}NO_SUCH_BUCKET during ListObjectsV2 operation: x", Kind.NO_BUCKET, "no such bucket"),
    (f"{SAID}NO_SUCH_KEY during CopyObject operation: ", Kind.NOT_FOUND, "nothing is there"),
    (f"{SAID}SIGNATURE_DOES_NOT_MATCH during ListObjectsV2 operation: x", Kind.WRONG_KEY, "wrong secret"),
    (f"{SAID}INVALID_ACCESS_KEY_ID during ListObjectsV2 operation: x", Kind.WRONG_KEY, "wrong key"),
    (f"{SAID}UNKNOWN (HTTP status 400) during X operation: Unable to parse ExceptionName: ExpiredToken Message: The "
     "provided token has expired.", Kind.WRONG_KEY, "token has expired"),
    (f"{SAID}UNKNOWN (HTTP status 411) during PutObject operation: Unable to parse ExceptionName: "
     "MissingContentLength Message: x", Kind.OTHER, "AWS_REQUEST_CHECKSUM_CALCULATION=when_required"),
    (f"{SAID}UNKNOWN (HTTP status 301) during HeadBucket operation: x", Kind.OTHER, "AWS_REGION"),
    (f"{SAID}UNKNOWN (HTTP status 400) during HeadObject operation: No response body.", Kind.REFUSED, "refused"),
    ("HTTP status 403 Forbidden during DeleteObject operation: <?xml?>\n<Error><Code>SignatureDoesNotMatch</Code>",
     Kind.WRONG_KEY, "wrong secret"),
    ("google::cloud::Status(UNAVAILABLE: Retry policy exhausted)", Kind.NO_ANSWER, "Retry policy exhausted"),
    ("google::cloud::Status(PERMISSION_DENIED: x)", Kind.DENIED, "access denied"),
    ("the answer was cut after 3 of 10 bytes", Kind.NO_ANSWER, "3 of 10 bytes"),
    ("Bucket 'timed out' is odd", Kind.OTHER, "Bucket 'timed out' is odd"),
    ("two\nlines {0}", Kind.OTHER, "two"),
    ("", Kind.OTHER, "OSError"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "kind", "told"), TABLE)
def test_the_words_of_a_store_tell_what_to_do(said: str, kind: Kind, told: str) -> None:
    reason = why(OSError(said))
    assert reason.kind is kind
    assert told in reason.text
    assert len(str(reason).splitlines()) == 1
    assert reason.passes is (kind in (Kind.NO_ANSWER, Kind.BUSY))


@pytest.mark.parametrize(
    ("err", "kind"),
    [
        (FileNotFoundError(errno.ENOENT, "x"), Kind.NOT_FOUND),
        (PermissionError(errno.EACCES, "x"), Kind.OTHER),
        (OSError(errno.ENOSPC, "No space left on device"), Kind.OTHER),
        (IsADirectoryError(errno.EISDIR, "x"), Kind.OTHER),
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), Kind.NO_ANSWER),
        (ConnectionResetError("x"), Kind.NO_ANSWER),
        (TimeoutError("x"), Kind.NO_ANSWER),
        (OSError(errno.ENETUNREACH, "x"), Kind.NO_ANSWER),
        (socket.gaierror(socket.EAI_AGAIN, "x"), Kind.NO_ANSWER),
        (urllib.error.HTTPError("http://h", 502, "Bad Gateway", Message(), None), Kind.BUSY),
        (pa.ArrowInvalid("Cannot parse URI"), Kind.OTHER),
    ],
)
def test_errors_of_the_system_are_told_apart(err: Exception, kind: Kind) -> None:
    assert why(err).kind is kind


def test_the_reason_of_an_error_shows_no_secret() -> None:
    for said in ("Cannot parse URI: 's3://AK:se/cret@b/x'", f"{SAID}ODD during X operation: Signature=cret"):
        assert "cret" not in str(why(OSError(said)))
