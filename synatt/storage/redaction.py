"""How a path stands in logs, tables and errors: without the credentials that a URI may carry."""

import re
from urllib.parse import unquote

_HIDDEN = "..."

# Names of query parameters whose values sign, identify or open something: presigned URLs of S3, GCS, Azure and
# CloudFront, pyarrow's and fsspec's options.
_SECRET_NAME = re.compile(
    r"signature|credential|token|secret|passw|access_?key|key_?id|googleaccessid|^(?:sig|pass|pwd|auth\w*)$|key$", re.I
)
_START = r"(?:[A-Za-z][A-Za-z0-9+.-]*:)"
# A scheme with two slashes, or with the one that a file system's path normalisation leaves of them.
_URI = re.compile(rf"({_START}//?)(?!/)(.*)", re.S)
# fsspec chains URIs: 'simplecache::s3://bucket/key'.
_LINK = re.compile(rf"::(?={_START}//)")
_URI_IN_TEXT = re.compile(rf"{_START}//?(?!/)[^\s'\"<>`]+")
_PLAIN_HOST = re.compile(r"(?:\[[^\]]*\]|[^:@]*)(?::\d*)?")
_NAME = re.compile(r"(?:^|[;?#])([^=;?#]+)=(?=.)", re.S)
# In a sentence a name needs no '?' or '&' before it: 'Credential=..., Signature=...' of an Authorization header.
_NAMED_IN_TEXT = re.compile(r"([\w%.-]+)=([^\s&'\"<>`,;]+)")


def shown(path: str) -> str:
    """`path` without its secrets, for people to read; a path that has none comes back as it is.

    User info before a host or bucket is removed, and the values of query parameters that sign or unlock become
    '...'. What is not a URI is a local file, whose name may hold anything.
    """
    while (bare := "::".join(_bare(link) for link in _LINK.split(path))) != path:
        path = bare
    return path


def redact(text: str) -> str:
    """A sentence that may quote URIs or request headers, with their secrets taken out as `shown` does."""
    text = _URI_IN_TEXT.sub(lambda found: shown(found[0]), text)
    return _NAMED_IN_TEXT.sub(_hidden_in_text, text)


def _bare(path: str) -> str:
    uri = _URI.fullmatch(path)
    if not uri:
        return path
    scheme, rest = uri.groups()
    rest = _without_user(rest, surely=scheme.endswith("//"))
    before, mark, query = rest.partition("?")
    return scheme + before + mark + "&".join(_without_secret(pair) for pair in query.split("&"))


def _without_user(rest: str, surely: bool) -> str:
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
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
    inner = shown(value)
    if inner == value and shown(unquote(value)) != unquote(value):
        inner = _HIDDEN
    return name + mark + inner


def _hidden_in_text(found: re.Match[str]) -> str:
    name, value = found.groups()
    after_mark = found.string[: found.start()].endswith(("?", "&", ";", "#"))
    secret = _SECRET_NAME.search(unquote(name)) and (after_mark or name.lower() != "key")
    return f"{name}={_HIDDEN}" if secret else f"{name}={value}"
