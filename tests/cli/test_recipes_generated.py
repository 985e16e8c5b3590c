#!/usr/bin/env python3
"""The recipes of the published pairs are what scripts/recipes.py writes from its table."""
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

sys.exit(subprocess.run([sys.executable, str(ROOT / "scripts" / "recipes.py"), "--check"]).returncode)
