# Two commands do everything on a machine with Python 3.10+, a C compiler and make:
#   make demo    set up, export the digits model and stream a real recording through it
#   make test    set up and run the tests
# `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := pyproject.toml CMakeLists.txt $(shell find c_src -type f)

.PHONY: help demo test lint c-test emulate board-bench bench wheel format clean FORCE
help:
	@grep -E '^#   make' $(MAKEFILE_LIST) | sed 's/^#   //'

demo: $(VENV)/built
	$(BIN)/grulet demo --plot demo.png

# There is a process for each CPU: threads of torch and numpy beside them would only wait for each other.
test: export OMP_NUM_THREADS := 1
test: $(VENV)/built
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

#   make lint    ruff and mypy --strict
lint: $(VENV)/built
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

C_TEST := build/c-test-$(notdir $(CC))
#   make c-test  the C tests, warnings as errors, with address and undefined-behaviour sanitizers (CC=clang works too)
c-test:
	cmake -S . -B $(C_TEST) -DGRULET_BUILD_TESTS=ON -DGRULET_WERROR=ON -DGRULET_SANITIZE=address,undefined
	cmake --build $(C_TEST) --parallel 2
	ctest --test-dir $(C_TEST) --output-on-failure --parallel 2

#   make emulate the C tests on emulated CPUs, boards and in WebAssembly; one table of hashes that must be equal
emulate: $(VENV)/built
	$(BIN)/python tools/emulate.py

#   make board-bench  grulet-bench for boards and for this machine, one static file each, in build/board/ (docs/boards.md)
BOARDS := aarch64 armv7hf armv6 riscv64
TOOLCHAIN_aarch64 := aarch64-linux-gnu
TOOLCHAIN_armv7hf := arm-linux-gnueabihf
TOOLCHAIN_armv6 := armv6-linux-gnueabi
TOOLCHAIN_riscv64 := riscv64-linux-gnu
BOARDS += $(filter-out $(BOARDS),$(shell uname -m))
board-bench: $(BOARDS:%=build/board/grulet-bench-%)
build/board/grulet-bench-%: FORCE
	cmake -S . -B build/board/$* -DGRULET_BUILD_PROGRAMS=ON -DGRULET_WERROR=ON \
	  $(if $(TOOLCHAIN_$*),-DCMAKE_TOOLCHAIN_FILE=$(CURDIR)/cmake/$(TOOLCHAIN_$*).cmake)
	cmake --build build/board/$* --target grulet-bench --parallel 2
	cp build/board/$*/programs/grulet-bench $@
FORCE:

#   make bench   all benchmarks against all rivals: rewrites docs/benchmarks.md (a quarter of an hour; leave the machine alone)
bench: $(VENV)/bench
	$(BIN)/python -m benchmarks

#   make wheel   the abi3 wheel, in dist/
wheel: $(VENV)/ready
	$(BIN)/pip wheel --no-deps --wheel-dir dist .

#   make format  let ruff format the Python code
format: $(VENV)/built
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

#   make clean   remove what the others made
clean:
	rm -rf $(VENV) build dist

$(VENV)/ready: requirements-dev.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --requirement requirements-dev.txt
	touch $@

$(VENV)/built: $(VENV)/ready $(SOURCES)
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/bench: $(VENV)/built requirements-bench.txt
	$(BIN)/pip install --quiet --requirement requirements-bench.txt
	touch $@
