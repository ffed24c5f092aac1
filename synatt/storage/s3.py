"""S3 and what speaks its protocol: where a bucket is served, with which key, and a delete that leaves no marker."""

import hashlib
import hmac
import http.client
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import parse_qsl, quote, unquote

import pyarrow.fs as pafs

from synatt.storage.failures import StorageError

# A server that is there accepts a connection within the one time, and works on a large copy within the other.
CONNECT_TIMEOUT_S, REQUEST_TIMEOUT_S = 3, 60
OPTIONS = ("region", "scheme", "endpoint_override", "force_virtual_addressing", "tls_ca_file_path")
_NO_BODY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Store:
    """An S3 server, and the credentials for it where they were given as such.

    Attributes:
        endpoint: ``host:port`` of a server that is not AWS's own.
        scheme: ``http`` or ``https``.
        region: None: not said.
        key, secret, token: None: left to the AWS SDK, which looks into profiles and roles.
        force_virtual_addressing, tls_ca_file_path: as pyarrow's S3FileSystem has them.
    """

    endpoint: str | None = None
    scheme: str = "https"
    region: str | None = None
    key: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    force_virtual_addressing: bool = False
    tls_ca_file_path: str | None = None


def store(user: str, query: str, environ: Mapping[str, str] = os.environ) -> Store:
    """The server and credentials of ``s3://{user}@bucket/key?{query}``; what that leaves open is in AWS's variables.

    Raises:
        StorageError: an option in `query` has a name that is none of `OPTIONS`.
    """
    options = dict(parse_qsl(query))
    for name in options:
        if name not in OPTIONS:
            raise StorageError(f"no option of S3 is called {name!r}; there are {', '.join(OPTIONS)}")
    given = options.get("endpoint_override") or environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL")
    scheme, _, endpoint = (given or "").rstrip("/").rpartition("://")
    key, _, secret = map(unquote, user.partition(":"))
    token = ""
    if not user:
        key, secret, token = (
            environ.get(f"AWS_{n}", "") for n in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")
        )
    complete = bool(key and secret)
    return Store(
        endpoint=endpoint or None,
        scheme=scheme or options.get("scheme", "https"),
        region=options.get("region") or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or None,
        key=key if complete else None,
        secret=secret if complete else None,
        token=token or None if complete else None,
        force_virtual_addressing=options.get("force_virtual_addressing") == "true",
        tls_ca_file_path=options.get("tls_ca_file_path"),
    )


@lru_cache(maxsize=64)
def connect(place: Store, bucket: str) -> pafs.S3FileSystem:
    """The filesystem of a bucket. It never tries again by itself: how long to try is storage's own patience."""
    region = place.region
    if region is None and place.endpoint is None:
        region = pafs.resolve_s3_region(bucket)
    return pafs.S3FileSystem(
        access_key=place.key,
        secret_key=place.secret,
        session_token=place.token,
        region=region or "us-east-1",
        scheme=place.scheme,
        endpoint_override=place.endpoint,
        connect_timeout=CONNECT_TIMEOUT_S,
        request_timeout=REQUEST_TIMEOUT_S,
        retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=1),
        # Streams that write and open later end otherwise: what a failed one was given, they may publish when dropped.
        background_writes=True,
        allow_delayed_open=False,
        force_virtual_addressing=place.force_virtual_addressing,
        tls_ca_file_path=place.tls_ca_file_path,
    )


def can_delete(place: Store) -> bool:
    """True when `delete` has what it needs; AWS itself is left to pyarrow, which finds its credentials and hosts."""
    return bool(place.endpoint and place.key) and not place.force_virtual_addressing


def delete(place: Store, path: str) -> None:
    """Delete the object at `path` (``bucket/key``).

    pyarrow follows each delete with an empty object ``folder/`` in its place. AWS shows that as a folder; a server
    that keeps objects as files (rclone) overwrites the folder with it, and hides all that is left there.

    Raises:
        OSError: it could not be deleted; not when it was not there.
        ValueError: `path` is a bucket, which the same request would delete.
    """
    if not path.partition("/")[2]:
        raise ValueError(f"{path} is a bucket")
    address = place.endpoint or ""
    now = datetime.now(UTC)
    target = "/" + quote(path, safe="/-_.~")
    headers = _signed("DELETE", target, address, place, now)
    if place.scheme == "https":
        trusted = ssl.create_default_context(cafile=place.tls_ca_file_path)
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            address, timeout=REQUEST_TIMEOUT_S, context=trusted
        )
    else:
        connection = http.client.HTTPConnection(address, timeout=REQUEST_TIMEOUT_S)
    try:
        connection.request("DELETE", target, headers=headers)
        answer = connection.getresponse()
        said = answer.read().decode(errors="replace")
    except http.client.HTTPException as err:
        raise ConnectionError(f"connection closed: {err!r}") from None
    finally:
        connection.close()
    if answer.status >= 300 and answer.status != 404:
        raise OSError(f"HTTP status {answer.status} {answer.reason} during DeleteObject operation: {said}")


def _signed(method: str, target: str, host: str, place: Store, now: datetime) -> dict[str, str]:
    # AWS Signature Version 4 of a request without query and body.
    headers = {"host": host, "x-amz-content-sha256": _NO_BODY, "x-amz-date": f"{now:%Y%m%dT%H%M%SZ}"}
    if place.token:
        headers["x-amz-security-token"] = place.token
    names = ";".join(sorted(headers))
    lines = [f"{name}:{headers[name]}" for name in sorted(headers)]
    request = "\n".join([method, target, "", *lines, "", names, _NO_BODY])
    scope = [f"{now:%Y%m%d}", place.region or "us-east-1", "s3", "aws4_request"]
    digest = hashlib.sha256(request.encode()).hexdigest()
    to_sign = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], "/".join(scope), digest])
    signer = f"AWS4{place.secret}".encode()
    for part in [*scope, to_sign]:
        signer = hmac.digest(signer, part.encode(), "sha256")
    credential = "/".join([place.key or "", *scope])
    signature = f"Credential={credential}, SignedHeaders={names}, Signature={signer.hex()}"
    return {**headers, "Authorization": f"AWS4-HMAC-SHA256 {signature}"}
