#!/usr/bin/env bash
# `make demo-diffusion`: two diffusion models learn to draw shapes, together (dml with ADM) and each alone; then pictures that the
# small one draws. Needs no data; under ten minutes on two cores.
source "$(dirname "$0")/demo_common.sh"
out=build/demo-diffusion
short=(--set train.steps=700)
demo_build
demo_train together recipes/diffusion/shapes-plain/dml-adm.yaml "${short[@]}"
demo_train alone recipes/diffusion/shapes-plain/vanilla.yaml "${short[@]}"
echo
python3 scripts/demo_table.py "$out/together" "$out/alone"
echo
for network in teacher student; do
    "$duet" sample "$out/together/$network.ema.safetensors" --n 36 --steps 50 --sampler ddim --seed 1 --grid "$out/$network.png"
done
demo_took
