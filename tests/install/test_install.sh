#!/usr/bin/env bash
# An installed copy, moved to another place, is enough to compile and run a program: shared and static through pkg-config,
# and through the CMake package. Arguments: cmake, the build folder, the C compiler, its flags (sanitizers).
set -euo pipefail
cmake=$1 build=$2 cc=$3 flags=${4:-}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$cmake" --install "$build" --prefix "$work/first" >/dev/null
mv "$work/first" "$work/prefix" # nothing may remember where it was installed
cd "$work"

cat > user.c <<'C'
#include <duet/error.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    printf("%s\n", duet_status_name(DUET_RECIPE));
    return strcmp(duet_status_name(DUET_RECIPE), "recipe") != 0 || duet_status_exit_code(DUET_RECIPE) != 2;
}
C
# Every public header compiles on its own, as C and as C++ where a C++ compiler is there.
for header in prefix/include/duet/*.h; do
    echo "#include <duet/$(basename "$header")>" > one.c
    $cc -std=c11 -Wall -Wextra -Wpedantic -Werror -Iprefix/include -fsyntax-only one.c
    if command -v c++ >/dev/null; then c++ -x c++ -Wall -Wextra -Werror -Iprefix/include -fsyntax-only one.c; fi
done

pc=$(find prefix -name duet.pc)
libdir=$(dirname "$(dirname "$work/$pc")")
export PKG_CONFIG_PATH="$libdir/pkgconfig"
$cc $flags -std=c11 user.c -o shared $(pkg-config --cflags --libs duet)
LD_LIBRARY_PATH=$libdir ./shared

mkdir static-only && cp "$libdir/libduet.a" static-only/
$cc $flags -std=c11 user.c -o static $(pkg-config --cflags duet) static-only/libduet.a \
    $(pkg-config --static --libs duet | sed 's/-lduet\b//')
./static

mkdir project && cat > project/CMakeLists.txt <<'CMAKE'
cmake_minimum_required(VERSION 3.25)
project(user LANGUAGES C)
find_package(duet 0.1 REQUIRED)
add_executable(with_shared ../user.c)
target_link_libraries(with_shared PRIVATE duet::duet)
add_executable(with_static ../user.c)
target_link_libraries(with_static PRIVATE duet::static)
enable_testing()
add_test(NAME with_shared COMMAND with_shared)
add_test(NAME with_static COMMAND with_static)
CMAKE
"$cmake" -S project -B project/build -DCMAKE_PREFIX_PATH="$work/prefix" -DCMAKE_C_COMPILER="$cc" \
    -DCMAKE_C_FLAGS="$flags" >/dev/null
"$cmake" --build project/build >/dev/null
(cd project/build && LD_LIBRARY_PATH=$libdir ./with_shared && ./with_static)

# The shared library shows the public names and nothing else.
others=$(nm -D --defined-only "$libdir/libduet.so" | awk '{print $3}' | grep -vE '^(duet_|_init$|_fini$|__asan|__odr_asan|__start_|__stop_|_edata$|_end$|__bss_start$)' || true)
if [ -n "$others" ]; then
    echo "libduet.so exports names that are not public:" $others >&2
    exit 1
fi
if [ -x prefix/bin/duet ]; then prefix/bin/duet models >/dev/null; fi
