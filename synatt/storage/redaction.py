"""How a path stands in logs, tables and errors: without the credentials that a URI may carry."""

import re
from collections.abc import Callable
from urllib.parse import unquote

_HIDDEN = "..."

# Names of query parameters whose values sign, identify or open something: presigned URLs of S3, GCS, Azure and
# CloudFront, pyarrow's and fsspec's options.
_SECRET_NAME = re.compile(
    r"signature|credential|token|secret|passw|access_?key|key_?id|googleaccessid|^(?:sig|pass|pwd|auth\w*)$|key$", re.I
)
_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*:"
# With two slashes, or with the one that a file system's path normalisation leaves of them; fsspec chains URIs:
# 'simplecache::s3://bucket/key'.
_URI = re.compile(rf"(?:\w+::)*{_SCHEME}//?(?!/)")
_INNER_URI = re.compile(rf"{_SCHEME}//(?!/)")
_URI_IN_TEXT = re.compile(rf"{_SCHEME}//?(?!/)[^\s'\"<>`]+")
# The last group: an endpoint in a query ends at the next parameter.
_PLAIN_HOST = re.compile(r"(?:\[[^\]]*\]|[^:@&]*)(?::\d*)?(?:&[^@]*)?")
_NAME = re.compile(r"(?:^|[;?#])([^=;?#]+)=(?=.)", re.S)
# In a sentence a name needs no '?' or '&' before it: 'Credential=..., Signature=...' of an Authorization header.
_NAMED_IN_TEXT = re.compile(r"([\w%.-]+)=([^\s&'\"<>`,;]+)")


def shown(path: str) -> str:
    """`path` without its secrets, for people to read; a path that has none comes back as it is.

    User info before a host or bucket is removed, and the values of query parameters that sign or unlock become
    '...'. What is not a URI is a local file, whose name may hold anything.
    """
    return _settled(_without_secrets, path)


def shown_in(text: str) -> str:
    """A sentence of our own with every URI in it as `shown`; other text, 'key=value' too, stays as it is."""
    return _settled(_with_shown_uris, text)


def redact(text: str) -> str:
    """A sentence that may quote URIs or request headers, with their secrets taken out as `shown` does."""
    return _settled(_without_quoted_secrets, text)


def _settled(change: Callable[[str], str], text: str) -> str:
    while (changed := change(text)) != text:
        text = changed
    return text


def _without_secrets(path: str) -> str:
    start = _URI.match(path)
    while start:
        path = path[: start.end()] + _without_user(path[start.end() :], surely=start[0].endswith("//"))
        start = _INNER_URI.search(path, start.end())
    if not _URI.match(path):
        return path
    before, mark, query = path.partition("?")
    return before + mark + "&".join(_without_secret(pair) for pair in query.split("&"))


def _with_shown_uris(text: str) -> str:
    return _URI_IN_TEXT.sub(lambda found: shown(found[0]), text)


def _without_quoted_secrets(text: str) -> str:
    return _NAMED_IN_TEXT.sub(_hidden_in_text, _with_shown_uris(text))


def _without_user(rest: str, surely: bool) -> str:
    authority = re.split(r"[/?#]|::", rest, maxsplit=1)[0]
    if _PLAIN_HOST.fullmatch(authority) or (not surely and ":" not in authority):
        return rest
    if "@" in authority:
        return rest[authority.rindex("@") + 1 :]
    # A colon without a port behind it: keys often hold raw slashes, so that the '@' comes later, or was forgotten.
    return rest.rpartition("@")[2] if "@" in rest else _HIDDEN


def _without_secret(pair: str) -> str:
    for found in _NAME.finditer(pair):
        if _SECRET_NAME.search(unquote(found[1])):
            return pair[: found.end()] + _HIDDEN
    name, mark, value = pair.partition("=")
    return name + mark + (value if shown(unquote(value)) == unquote(value) else _HIDDEN)


def _hidden_in_text(found: re.Match[str]) -> str:
    name, value = found.groups()
    after_mark = found.string[: found.start()].endswith(("?", "&", ";", "#"))
    secret = _SECRET_NAME.search(unquote(name)) and (after_mark or name.lower() != "key")
    return f"{name}={_HIDDEN}" if secret else f"{name}={value}"
