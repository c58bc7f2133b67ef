"""Where versions are kept for several machines: the address of an object store, as fsspec takes it."""

from __future__ import annotations

import re

from backend.addresses.url import NoAddress

SCHEMES = ("file", "s3", "gs", "az")

OBJECT_STORE = re.compile(r"(?P<scheme>file|s3|gs|az)://(?P<place>[A-Za-z0-9._/~-]+)")

STORE_REMEDY = (
    "it is no address of an object store. One of: file:///path, s3://bucket/prefix, gs://bucket/prefix, "
    "az://container/prefix. Keys, passwords and the endpoint do not stand in it: they come from the variables of the "
    "store's own tools (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL, GOOGLE_APPLICATION_CREDENTIALS, "
    "AZURE_STORAGE_ACCOUNT_NAME, ...)"
)
"""Without what was found: that may hold a password."""


def check_store_url(url: str) -> str:
    """`url` without a slash at its end. Raises NoAddress."""
    found = OBJECT_STORE.fullmatch(url.rstrip("/"))
    if found is None or ".." in found["place"].split("/"):
        raise NoAddress(STORE_REMEDY)
    if (found["scheme"] == "file") != found["place"].startswith("/"):
        raise NoAddress(STORE_REMEDY)
    return url.rstrip("/")


def is_store_url(text: str) -> bool:
    """Whether it means a place in an object store, not a file on this machine."""
    return text.partition("://")[0] in SCHEMES and "://" in text
