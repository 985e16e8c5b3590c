#!/usr/bin/env bash
# `make demo`: builds duet, trains two networks on drawn pictures together and each alone, and sets the two side by side.
# Needs no data and no network; a few minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."

out=build/demo
mkdir -p build
start=$SECONDS
echo "== building"
if ! { cmake --preset release && cmake --build --preset release --target duet -j "$(nproc)"; } >build/demo-build.log 2>&1; then
    cat build/demo-build.log >&2
    exit 1
fi
duet=build/release/duet
built=$((SECONDS - start))

# OpenMP's threads wait for each other by spinning, for a long time by default; beside any other busy program that makes
# training several times slower. Spinning for a few microseconds and then sleeping costs an idle machine next to nothing.
export GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-20000}

# A second demo starts from nothing, like the first.
rm -rf "$out"
for run in together alone; do
    recipe=recipes/demo.yaml
    [ $run = together ] || recipe=recipes/demo-alone.yaml
    echo
    echo "== duet train $recipe --out $out/$run"
    "$duet" train $recipe --out "$out/$run"
done

echo
python3 scripts/demo_table.py "$out/together" "$out/alone"
echo
echo "Took $((SECONDS - start)) s, of which $built s for building."
