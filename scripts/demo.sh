#!/usr/bin/env bash
# `make demo`: builds duet, trains two networks on drawn pictures together and each alone, and sets the two side by side.
# Needs no data and no network; a few minutes on two cores.
source "$(dirname "$0")/demo_common.sh"
out=build/demo
demo_build
demo_train together recipes/demo.yaml
demo_train alone recipes/demo-alone.yaml
echo
python3 scripts/demo_table.py "$out/together" "$out/alone"
demo_took
