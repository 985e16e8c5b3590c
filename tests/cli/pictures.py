"""Small PNG and JPEG files from nothing but the standard library, good and bad ones."""
import struct
import zlib


def png(height, width, pixel, kind="rgb"):
    """pixel(y, x) is a triple of bytes; a byte for grey and palette; a number of 16 bits for grey16."""
    colour, bits = {"rgb": (2, 8), "grey": (0, 8), "grey16": (0, 16), "palette": (3, 8)}[kind]
    rows = b""
    for y in range(height):
        rows += b"\0"
        for x in range(width):
            p = pixel(y, x)
            rows += bytes(p) if kind == "rgb" else struct.pack(">H", p) if bits == 16 else bytes([p])

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    palette = chunk(b"PLTE", bytes(b for i in range(256) for b in (i, 255 - i, i // 2))) if kind == "palette" else b""
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + palette + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


# The code of a difference of so many bits, from the table for brightness that every decoder expects (ITU T.81, table K.3).
DC_CODES = ["00", "010", "011", "100", "101", "110", "1110", "11110", "111110", "1111110", "11111110", "111111110"]
DC_COUNTS = bytes([0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0])


def marker(code, data):
    return struct.pack(">BBH", 0xFF, code, len(data) + 2) + data


def exif(turn):
    """An APP1 marker that says how the camera was held."""
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, turn, 0)
    return marker(0xE1, b"Exif\0\0" + b"II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 0))


def jpeg(height, width, pixel, components=3, extra=b""):
    """A JPEG whose blocks of 8x8 pixels have one colour each: pixel(y, x) of the block's number, as stored: (Y, Cb, Cr), (Y,), (C, M, Y, K)."""
    bits, before = [], [0] * components
    for y in range((height + 7) // 8):
        for x in range((width + 7) // 8):
            for k, value in enumerate(pixel(y, x)):
                step = value - 128 - before[k]
                before[k] = value - 128
                n = abs(step).bit_length()
                bits.append(DC_CODES[n])
                if n:
                    bits.append(format(step if step > 0 else step + (1 << n) - 1, f"0{n}b"))
                bits.append("0")  # the block ends
    stream = "".join(bits)
    stream += "1" * (-len(stream) % 8)
    data = bytes(int(stream[i:i + 8], 2) for i in range(0, len(stream), 8)).replace(b"\xff", b"\xff\0")
    frame = struct.pack(">BHHB", 8, height, width, components) + b"".join(bytes([k + 1, 0x11, 0]) for k in range(components))
    scan = bytes([components]) + b"".join(bytes([k + 1, 0]) for k in range(components)) + bytes([0, 63, 0])
    return (b"\xff\xd8" + extra + marker(0xDB, b"\0" + bytes([8] * 64)) + marker(0xC0, frame) +
            marker(0xC4, b"\0" + DC_COUNTS + bytes(range(12))) + marker(0xC4, b"\x10" + bytes([1] + [0] * 15) + b"\0") +
            marker(0xDA, scan) + data + b"\xff\xd9")


def write_folder(root, train=6, val=3, classes=("apple", "bear", "cat")):
    """A data set of JPEGs and PNGs of several sizes, a colour for each class: root/train/CLASS, root/val/CLASS."""
    for split, n in (("train", train), ("val", val)):
        for c, name in enumerate(classes):
            folder = root / split / name
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(n):
                h, w = 40 + 8 * (i % 3), 64 - 8 * (i % 4)
                if i % 3 == 2:
                    (folder / f"{i}.png").write_bytes(png(h, w, lambda y, x: ((80 * c + 3 * i) % 256, (y + 5 * c) % 256, x % 256)))
                else:
                    (folder / f"{i}.jpg").write_bytes(jpeg(h, w, lambda y, x: (60 + 10 * y + 5 * x, 90 + 30 * c, 200 - 40 * c)))
    return root
