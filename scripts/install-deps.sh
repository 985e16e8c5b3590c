#!/usr/bin/env bash
# Installs the Debian/Ubuntu packages that duet needs and that are missing. Asks nothing; does nothing when all are there.
#
#   scripts/install-deps.sh          what building needs, the unit tests included
#   scripts/install-deps.sh test     also what the tests need (PyTorch and Pillow for the agreement tests)
#   scripts/install-deps.sh all      also clang, clang-format, clang-tidy
set -euo pipefail

packages=(gcc libc6-dev make cmake ninja-build pkg-config python3
          libdnnl-dev libfyaml-dev libjansson-dev libarchive-dev libssl-dev libcmocka-dev libpng-dev liblapack-dev libblas-dev)
# libjpeg-turbo's name differs.
if grep -qs '^ID=ubuntu' /etc/os-release; then packages+=(libjpeg-turbo8-dev); else packages+=(libjpeg62-turbo-dev); fi
case "${1:-build}" in
build) ;;
test) packages+=(python3-numpy python3-torch python3-pil) ;;
all) packages+=(python3-numpy python3-torch python3-pil clang clang-format clang-tidy libclang-rt-dev libomp-dev) ;;
*) echo "usage: scripts/install-deps.sh [build|test|all]" >&2; exit 2 ;;
esac

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "This is not Debian or Ubuntu: please install the equivalents of these packages by hand; cmake will name what it" >&2
    echo "does not find: ${packages[*]}" >&2
    exit 0
fi

missing=()
for package in "${packages[@]}"; do
    # "provided by" counts as installed: pkg-config is pkgconf on newer releases.
    state=$(dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | head -n 1 || true)
    [ "$state" = installed ] && continue
    [ "$package" = pkg-config ] && command -v pkg-config >/dev/null && continue
    missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then
        # Not the end: what is missing here may be there in another way, and cmake says what really is not.
        echo "Packages are missing, and installing them needs root. Please run:" >&2
        echo "    sudo apt-get install -y ${missing[*]}" >&2
        exit 0
    fi
    as_root=(sudo -n)
fi

echo "installing: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 "$@" </dev/null; }
install() { apt install -y --no-install-recommends "${missing[@]}" >/dev/null; }
# The package lists of a fresh container are empty, those of an old machine name versions that are gone.
install 2>/dev/null || { apt update && install; }
