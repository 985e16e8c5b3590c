#!/usr/bin/env bash
# `make demo-segment`: two networks learn to outline drawn objects, pixel by pixel, together (dml with ADM) and each alone; then
# what the small one sees in pictures that it never saw. Needs no data; under ten minutes on two cores.
source "$(dirname "$0")/demo_common.sh"
out=build/demo-segment
short=(--set train.epochs=5)
demo_build
demo_train together recipes/segmentation/shapes-seg/dml-adm.yaml "${short[@]}"
demo_train alone recipes/segmentation/shapes-seg/vanilla.yaml "${short[@]}"
echo
python3 scripts/demo_table.py "$out/together" "$out/alone"
echo
"$duet" eval "$out/together/student.safetensors"
echo
"$duet" predict "$out/together/student.safetensors" --data shapes-seg --n 8 --out "$out/pictures"
demo_took
