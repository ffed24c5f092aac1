"""No credential reaches a message, and file names stay as they are."""

from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from synatt.storage import redact, shown

KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        (f"s3://{KEY}:{SECRET}@bucket/a/b.wav", "s3://bucket/a/b.wav"),
        (f"s3://{KEY}:{quote(SECRET, '')}@bucket/a@b.wav", "s3://bucket/a@b.wav"),
        (f"s3://{KEY}:{SECRET}", "s3://..."),
        (f"s3:/{KEY}:{SECRET}@bucket/a", "s3:/bucket/a"),
        ("https://u:p@host:8443/x", "https://host:8443/x"),
        ("https://token@host/x", "https://host/x"),
        ("https://u:p@[::1]:80/x", "https://[::1]:80/x"),
        (f"simplecache::s3://{KEY}:s@bucket/a", "simplecache::s3://bucket/a"),
        (f"https://archive.org/https://u:{SECRET}@host/a", "https://archive.org/https://host/a"),
        (f"zip://a.wav::s3://{KEY}:s@bucket/z.zip", "zip://a.wav::s3://bucket/z.zip"),
        (
            "https://b.s3.amazonaws.com/x.wav?X-Amz-Algorithm=AWS4&X-Amz-Credential=A%2F1&X-Amz-Date=2&X-Amz-Signature=ff",
            "https://b.s3.amazonaws.com/x.wav?X-Amz-Algorithm=AWS4&X-Amz-Credential=...&X-Amz-Date=2&X-Amz-Signature=...",
        ),
        (
            "https://a.blob.core.windows.net/c/x?sv=1&se=2&sp=r&sig=a%2Bb",
            "https://a.blob.core.windows.net/c/x?sv=1&se=2&sp=r&sig=...",
        ),
        (
            "https://storage.googleapis.com/b/x?GoogleAccessId=me&Expires=1&Signature=z",
            "https://storage.googleapis.com/b/x?GoogleAccessId=...&Expires=1&Signature=...",
        ),
        (
            "s3://b/x?AWSAccessKeyId=a&token=b&key=c&secret=d&password=e",
            "s3://b/x?AWSAccessKeyId=...&token=...&key=...&secret=...&password=...",
        ),
        ("https://h/x?X%2DAmz%2DSignature=ff", "https://h/x?X%2DAmz%2DSignature=..."),
        ("s3://b/x?endpoint_override=http://u:p@h:9000&region=r", "s3://b/x?endpoint_override=http://h:9000&region=r"),
        ("s3://b/x?endpoint_override=http%3A%2F%2Fu%3Ap%40h", "s3://b/x?endpoint_override=..."),
    ],
)
def test_a_secret_is_taken_out_and_the_rest_stays(path: str, wanted: str) -> None:
    assert shown(path) == wanted == redact(path)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "a b/c?d=e@f%20.wav",
        "/data/u:p@host/x?token=abc",
        "s3://bucket/a@b:c/what?.wav",
        "s3://bucket/a?b=c&region=eu%2Dwest",
        "s3://bucket/100% of it, é.wav",
        "s3://bucket/x?endpoint_override=http://127.0.0.1:9000",
        "file:///home/u:p@host/x",
        "hdfs://name.node:8020/a@b",
        "https://host/x?se=1&sp=r&sv=2&sig=",
    ],
)
def test_a_path_without_secrets_is_shown_as_it_is(path: str) -> None:
    assert shown(path) == path


@given(st.text(st.characters(exclude_characters=":/", exclude_categories=["Cs"])))
def test_no_local_name_is_changed(path: str) -> None:
    assert shown(path) == path


SCHEMES = st.sampled_from(["s3://", "gs://", "https://", "abfs://", "simplecache::s3://", "S3://"])
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="?&#ΨΩΞ"), max_size=12)
# Letters that no other part of the path draws from, and whatever else a key may hold raw.
SECRETS = st.text("ΨΩΞ+/=%").map(lambda inner: f"Ψ{inner}Ω")
PARAMETERS = st.sampled_from(
    ["X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token", "sig", "Signature", "token", "key", "secret"]
    + ["password", "AWSAccessKeyId", "GoogleAccessId", "x-amz-signature", "access_token", "api_key", "secret_key"]
)


@given(SCHEMES, SECRETS, NAMES, st.lists(st.tuples(PARAMETERS, SECRETS)), st.booleans())
@example("s3://", SECRET, "a@b/c", [("sig", SECRET)], True)
def test_no_secret_survives(
    scheme: str, password: str, name: str, parameters: list[tuple[str, str]], has_user: bool
) -> None:
    user = f"user:{password}@" if has_user else ""
    path = f"{scheme}{user}bucket/{name}?region=r" + "".join(f"&{key}={value}" for key, value in parameters)
    for letter in "ΨΩΞ":
        assert letter not in shown(path)
        if not any(c.isspace() or c in "'\"<>`" for c in name):
            assert letter not in redact(f"AWS Error while reading '{path}', try again")
    assert shown(path).startswith(f"{scheme}")
    assert shown(path).endswith("=..." if parameters else "region=r")


@given(
    st.one_of(
        st.text(), st.lists(st.sampled_from("s3:// ://  : @ / ? & # = sig key a b :: 1 % %40".split(" "))).map("".join)
    )
)
def test_taking_out_twice_changes_nothing(text: str) -> None:
    assert shown(shown(text)) == shown(text)
    assert redact(redact(text)) == redact(text)


def test_sentences_lose_their_secrets_and_nothing_else() -> None:
    said = f"Cannot parse URI: 's3://{KEY}:{SECRET}@b/x?sig=1', sent Credential={KEY}/eu, Signature=abc; key=4, a@b c:d"
    assert redact(said) == "Cannot parse URI: 's3://b/x?sig=...', sent Credential=..., Signature=...; key=4, a@b c:d"
