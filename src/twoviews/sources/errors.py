"""What one picture may fail with, and why a file that no decoder knows is no picture."""

from __future__ import annotations

from ..base.errors import TwoviewsError

INSTALL = "uv pip install 'twoviews[scientific]'"


class Unreadable(TwoviewsError):
    """One picture that cannot be read; the message is the reason."""


def reason(data: bytes) -> str:
    """Why bytes that no decoder knows are no picture, in words that help."""
    head = data[:1024].lstrip().lower()
    if data.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer in place of the picture: run git lfs pull"
    if head.startswith((b"<!doctype html", b"<html")):
        return "not a picture but an HTML page, as of a download that failed"
    if b"<svg" in head:
        return "not a picture but a vector drawing (SVG)"
    if data.startswith(b"8BPS") and len(data) > 26:
        return (
            f"a drawing of Photoshop with {data[23]} bits a sample in colours of the kind {data[25]}, which the decoders here do not read"
        )
    if data.startswith(b"%PDF"):
        return "not a picture but a PDF"
    if data.startswith(b"PK"):
        return "not a picture but a zip archive"
    if data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"):
        return "HEIC needs pillow-heif: uv pip install 'twoviews[heif]'"
    if data.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")):
        return "JPEG XL, which the decoders here do not read: convert it, to PNG for example"
    if data.startswith(b"\xff\xd8"):
        bits = _jpeg_bits(data)
        return f"a JPEG of {bits} bits a sample, which the decoders here do not read" if bits not in (None, 8) else "a damaged JPEG"
    return "not a picture in a known format, or one with a damaged header"


def _jpeg_bits(data: bytes) -> int | None:
    """The sample precision that a JPEG's frame header states."""
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return data[at + 4]
        at += 2 + length
    return None
