#!/usr/bin/env python3
"""Checks the house rule: includes point one way.

A folder of src/ includes only from itself and from folders above it in HOUSE, by "x/x.h"; "x_impl.h" stays inside its
folder (tests may look in); the program and the examples include <duet/...> only. Prints one line per offence and exits 1.
"""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOUSE = ["base", "format", "graph", "device", "program", "models", "tasks", "methods", "data", "recipe", "train", "api"]
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def includes(path):
    """(line number, bracket, what) of every include of a file."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match.group(1), match.group(2)


def complaint_in_library(folder, path, bracket, what):
    if bracket == "<":
        return None
    if (path.parent / what).is_file() and "/" not in what:
        return None  # a file beside this one
    parts = what.split("/")
    if len(parts) < 2 or not (ROOT / "src" / what).is_file():
        return f'"{what}" is not a file beside this one nor under src/'
    other = parts[0]
    if other == folder:
        return None
    if other not in HOUSE:
        return f'src/{other} is not in the list of folders (HOUSE in scripts/check_includes.py)'
    if HOUSE.index(other) > HOUSE.index(folder):
        return f'"{what}": src/{other} stands below src/{folder}; arrows point up: {" > ".join(HOUSE)}'
    if what != f"{other}/{other}.h":
        return f'"{what}": other folders may include "{other}/{other}.h" only'
    return None


def check_library():
    for folder in sorted((ROOT / "src").iterdir()):
        if not folder.is_dir():
            continue
        if folder.name not in HOUSE:
            yield folder, 0, "not in the list of folders (HOUSE in scripts/check_includes.py)"
            continue
        for path in sorted(folder.rglob("*.[ch]")):
            for number, bracket, what in includes(path):
                complaint = complaint_in_library(folder.name, path, bracket, what)
                if complaint:
                    yield path, number, complaint


def check_users():
    """What stands on the library as anyone else does. cli files may share a header of their own."""
    for path in sorted([*(ROOT / "cli").rglob("*.[ch]"), *(ROOT / "examples").rglob("*.[ch]")]):
        for number, bracket, what in includes(path):
            beside = bracket == '"' and "/" not in what and (path.parent / what).is_file()
            if bracket == '"' and not beside:
                yield path, number, f'"{what}": programs include <duet/...> and the system only'


def check_public():
    """Public headers stand alone: they see each other and the system."""
    for path in sorted((ROOT / "include").rglob("*.h")):
        for number, bracket, what in includes(path):
            if bracket == '"':
                yield path, number, f'"{what}": public headers include <duet/...> and the system only'
            elif what.startswith("duet/") and not (ROOT / "include" / what).is_file():
                yield path, number, f"<{what}> does not exist"


def main():
    offences = [*check_library(), *check_users(), *check_public()]
    for path, number, text in offences:
        print(f"{path.relative_to(ROOT)}:{number}: {text}")
    return 1 if offences else 0


if __name__ == "__main__":
    sys.exit(main())
