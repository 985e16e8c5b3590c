# A thin front for CMake; `make help` lists what there is. Everything is built under build/.
SHELL := /bin/bash
JOBS ?= $(shell nproc)
CMAKE_FLAGS ?=

.DEFAULT_GOAL := build
.NOTPARALLEL:
.PHONY: build demo demo-segment demo-diffusion test check sanitize asan tsan bench install clean format tidy help deps deps-test configure build-tests

build: deps configure           ## build/release/duet and the libraries
	@cmake --build --preset release -j $(JOBS) --target duet duet_shared duet_static

build-tests: deps-test configure
	@cmake --build --preset release -j $(JOBS)

configure:
	@mkdir -p build
	@cmake --preset release $(CMAKE_FLAGS) >build/configure.log 2>&1 || { cat build/configure.log; exit 1; }

demo: deps                      ## train two networks together on drawn pictures, and each alone; under five minutes
	@scripts/demo.sh

demo-segment: deps              ## the same for segmentation, with pictures to look at; under ten minutes
	@scripts/demo_segment.sh

demo-diffusion: deps            ## two diffusion models learn to draw shapes, with what they draw; under ten minutes
	@scripts/demo_diffusion.sh

test: build-tests               ## every test, agreement with PyTorch included; under ten minutes
	DUET_REQUIRE_TORCH=1 ctest --preset release -j $(JOBS)

check: deps configure           ## the quick part of the tests; under a minute
	@cmake --build --preset release -j $(JOBS)
	ctest --preset quick -j $(JOBS)

sanitize: deps-test asan tsan   ## the suite under ASan and UBSan, what is threaded under TSan

asan:
	cmake --preset asan $(CMAKE_FLAGS)
	cmake --build --preset asan -j $(JOBS)
	ctest --preset asan -j $(JOBS)

tsan:
	cmake --preset tsan $(CMAKE_FLAGS)
	cmake --build --preset tsan -j $(JOBS)
	ctest --preset tsan -j $(JOBS)

bench: build                    ## a joint step of duet beside one of PyTorch, in alternation
	@python3 bench/step.py

install: build                  ## PREFIX=/usr/local by default; DESTDIR is honoured
	cmake --install build/release --prefix $(or $(PREFIX),/usr/local)

format:                         ## clang-format over our C
	clang-format -i $$(git ls-files '*.c' '*.h')

tidy: build                     ## clang-tidy over the library and the program
	clang-tidy -quiet -p build/release $$(git ls-files 'src/*.c' 'cli/*.c')

clean:                          ## remove build/
	rm -rf build

deps:
	@scripts/install-deps.sh build
deps-test:
	@scripts/install-deps.sh test

help:                           ## this list
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 16
