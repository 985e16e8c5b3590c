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

# A step is hundreds of kernels, and its threads meet after each: beside another busy program, every meeting waits for that
# program's turn to end, and two threads are slower than one. So the demo takes the cores that are idle now, the same
# number for both runs. And it lets waiting threads sleep after some microseconds rather than spin through their turn.
idle_cores() {
    read -r _ u0 n0 s0 i0 w0 x0 y0 z0 _ </proc/stat
    sleep 2
    read -r _ u1 n1 s1 i1 w1 x1 y1 z1 _ </proc/stat
    local idle=$((i1 + w1 - i0 - w0))
    local all=$((idle + u1 + n1 + s1 + x1 + y1 + z1 - u0 - n0 - s0 - x0 - y0 - z0))
    local cores=$(((idle * $(nproc) + all / 2) / (all > 0 ? all : 1))) # rounded
    echo $((cores > 0 ? cores : 1))
}
threads=$(idle_cores)
[ "$threads" -eq "$(nproc)" ] || echo "other programs are busy on this machine: training on $threads of $(nproc) cores"
export GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-20000}

# A second demo starts from nothing, like the first.
rm -rf "$out"
for run in together alone; do
    recipe=recipes/demo.yaml
    [ $run = together ] || recipe=recipes/demo-alone.yaml
    echo
    echo "== duet train $recipe --out $out/$run"
    "$duet" train $recipe --out "$out/$run" --set device.threads="$threads"
done

echo
python3 scripts/demo_table.py "$out/together" "$out/alone"
echo
echo "Took $((SECONDS - start)) s, of which $built s for building."
