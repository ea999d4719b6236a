"""The whole audit as JSON: everything that was found and every job, written as it is looked at."""

from typing import BinaryIO

import msgspec

from api.audit.findings import Audit
from api.audit.shelf import Shelf


def write_json(audit: Audit, out: BinaryIO) -> None:
    """Write one JSON object, and a line end; a million jobs never stand in memory."""
    encode = msgspec.json.encode
    before = b"{"
    for name in Audit.__struct_fields__:
        out.write(before + encode(name) + b":")
        before = b","
        value = getattr(audit, name)
        if isinstance(value, Shelf):
            out.write(b"[")
            out.writelines((b"," if at else b"") + encode(one) for at, one in enumerate(value))
            out.write(b"]")
        else:
            out.write(encode(value))
    out.write(b"}\n")
