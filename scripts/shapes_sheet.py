#!/usr/bin/env python3
"""Draws docs/images/shapes.png and shapes_seg.png, contact sheets of the drawn data sets, with the library's own code.

  scripts/shapes_sheet.py [FOLDER]        needs a C compiler and the Python standard library
"""
import os
import struct
import subprocess
import sys
import tempfile
import zlib

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SOURCES = ("src/data/shapes.c", "src/data/shapes_draw.c", *("src/base/%s.c" % name for name in ("error", "memory", "random", "text")))


def drawn(sheet):
    """Width, height and RGB bytes of the sheet that scripts/SHEET.c draws."""
    with tempfile.TemporaryDirectory() as folder:
        program = os.path.join(folder, "shapes_sheet")
        subprocess.run([os.environ.get("CC", "cc"), "-std=c11", "-O1", "-D_GNU_SOURCE", "-I" + ROOT + "/include", "-I" + ROOT + "/src",
                        *(os.path.join(ROOT, s) for s in ("scripts/%s.c" % sheet, *SOURCES)), "-lm", "-o", program], check=True)
        ppm = subprocess.run([program], check=True, stdout=subprocess.PIPE).stdout
    magic, size, most, pixels = ppm.split(b"\n", 3)
    assert magic == b"P6" and most == b"255"
    width, height = map(int, size.split())
    return width, height, pixels


def png(width, height, pixels):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + pixels[3 * width * y:3 * width * (y + 1)] for y in range(height))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "docs", "images")
    for sheet in ("shapes_sheet", "shapes_seg_sheet"):
        with open(os.path.join(folder, sheet.replace("_sheet", ".png")), "wb") as f:
            f.write(png(*drawn(sheet)))


if __name__ == "__main__":
    main()
