# What the demos share: building, the number of threads, a training run. Sourced by demo*.sh, which set `out` and then call
# demo_build.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
duet=build/release/duet
start=$SECONDS

demo_build() {
    mkdir -p build
    echo "== building"
    if ! { cmake --preset release && cmake --build --preset release --target duet -j "$(nproc)"; } >build/demo-build.log 2>&1; then
        cat build/demo-build.log >&2
        exit 1
    fi
    built=$((SECONDS - start))
    threads=$(idle_cores)
    [ "$threads" -eq "$(nproc)" ] || echo "other programs are busy on this machine: training on $threads of $(nproc) cores"
    # A second demo starts from nothing, like the first.
    rm -rf "$out"
}

# A step is hundreds of kernels, and its threads meet after each: beside another busy program, every meeting waits for that
# program's turn to end, and two threads are slower than one. So a demo takes the cores that are idle now, the same
# number for all its runs. And it lets waiting threads sleep after some microseconds rather than spin through their turn.
idle_cores() {
    read -r _ u0 n0 s0 i0 w0 x0 y0 z0 _ </proc/stat
    sleep 2
    read -r _ u1 n1 s1 i1 w1 x1 y1 z1 _ </proc/stat
    local idle=$((i1 + w1 - i0 - w0))
    local all=$((idle + u1 + n1 + s1 + x1 + y1 + z1 - u0 - n0 - s0 - x0 - y0 - z0))
    local cores=$(((idle * $(nproc) + all / 2) / (all > 0 ? all : 1))) # rounded
    echo $((cores > 0 ? cores : 1))
}
export GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-20000}

# demo_train NAME RECIPE [--set key=value]...
demo_train() {
    local name=$1 recipe=$2
    shift 2
    echo
    echo "== duet train $recipe${*:+ $*} --out $out/$name"
    "$duet" train "$recipe" "$@" --out "$out/$name" --set device.threads="$threads"
}

demo_took() {
    echo
    echo "Took $((SECONDS - start)) s, of which $built s for building."
}
