# Finds what duet is built on and hands it over as one target, duet_dependencies. Whatever is missing is said in one
# message with its Debian name; nothing is ever downloaded. docs/dependencies.md says what each one is for.

add_library(duet_dependencies INTERFACE)
set(duet_missing "")         # Debian packages
set(duet_missing_lines "")   # "libfyaml >= 0.7.12 (recipes): Debian package libfyaml-dev"
set(duet_pc_libs "")         # link flags for duet.pc

function(duet_note_missing what package)
  list(APPEND duet_missing ${package})
  string(APPEND duet_missing_lines "  ${what}: Debian package ${package}\n")
  set(duet_missing "${duet_missing}" PARENT_SCOPE)
  set(duet_missing_lines "${duet_missing_lines}" PARENT_SCOPE)
endfunction()

# ---- pkg-config modules -----------------------------------------------------------------------------------------

find_package(PkgConfig QUIET)
if(NOT PkgConfig_FOUND)
  message(FATAL_ERROR "pkg-config is missing (Debian package pkg-config). `scripts/install-deps.sh` installs "
                      "everything duet is built with.")
endif()

# module, least version, what for, Debian package
function(duet_find_module module version what package)
  string(MAKE_C_IDENTIFIER "DUET_${module}" prefix)
  pkg_check_modules(${prefix} QUIET IMPORTED_TARGET ${module}>=${version})
  if(${prefix}_FOUND)
    target_link_libraries(duet_dependencies INTERFACE PkgConfig::${prefix})
    list(JOIN ${prefix}_LDFLAGS " " flags)
    set(duet_pc_libs "${duet_pc_libs} ${flags}" PARENT_SCOPE)
  else()
    duet_note_missing("${module} >= ${version} (${what})" ${package})
    set(duet_missing "${duet_missing}" PARENT_SCOPE)
    set(duet_missing_lines "${duet_missing_lines}" PARENT_SCOPE)
  endif()
endfunction()

duet_find_module(libfyaml 0.7.12 "recipes" libfyaml-dev)
duet_find_module(jansson 2.12 "JSON" libjansson-dev)
duet_find_module(libarchive 3.4 "data straight from .tar.gz" libarchive-dev)
duet_find_module(libcrypto 1.1.1 "SHA-256 of data files" libssl-dev)
# Any version: the symbols are thirty years old. OpenBLAS, where it stands in for both, counts its own from 0.
duet_find_module(lapack 0 "eigenvalues and singular values: Frechet distances" liblapack-dev)
duet_find_module(blas 0 "products of matrices: Frechet distances" libblas-dev)
duet_find_module(libpng 1.6 "pictures and masks" libpng-dev)
duet_find_module(libjpeg 2.0 "photographs" libjpeg62-turbo-dev)
string(STRIP "${duet_pc_libs}" duet_pc_libs)

# ---- oneDNN: header and library (its own CMake package needs OpenCL's on some distributions) -----------------------

find_path(DUET_DNNL_INCLUDE oneapi/dnnl/dnnl.h)
find_library(DUET_DNNL_LIBRARY dnnl)
mark_as_advanced(DUET_DNNL_INCLUDE DUET_DNNL_LIBRARY)
if(DUET_DNNL_INCLUDE AND DUET_DNNL_LIBRARY)
  target_include_directories(duet_dependencies SYSTEM INTERFACE ${DUET_DNNL_INCLUDE})
  target_link_libraries(duet_dependencies INTERFACE ${DUET_DNNL_LIBRARY})
else()
  duet_note_missing("oneDNN >= 2.6 (convolutions on the CPU)" libdnnl-dev)
endif()

# ---- the compiler's own ----------------------------------------------------------------------------------------

find_package(OpenMP QUIET COMPONENTS C)
if(OpenMP_C_FOUND)
  target_link_libraries(duet_dependencies INTERFACE OpenMP::OpenMP_C)
elseif(CMAKE_C_COMPILER_ID MATCHES "Clang")
  duet_note_missing("OpenMP for clang (threads in kernels)" libomp-dev)
else()
  duet_note_missing("OpenMP (threads in kernels)" gcc)
endif()
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
target_link_libraries(duet_dependencies INTERFACE Threads::Threads m)

if(DUET_TESTS)
  pkg_check_modules(DUET_CMOCKA QUIET IMPORTED_TARGET cmocka>=1.1.5)
  if(NOT DUET_CMOCKA_FOUND)
    duet_note_missing("cmocka >= 1.1.5 (tests; or configure with -DDUET_TESTS=OFF)" libcmocka-dev)
  endif()
endif()

if(duet_missing)
  string(REPLACE ";" " " duet_missing "${duet_missing}")
  message(FATAL_ERROR "These are missing:\n${duet_missing_lines}"
                      "On Debian or Ubuntu: apt install ${duet_missing}\n"
                      "or `scripts/install-deps.sh`, which installs everything at once.")
endif()
