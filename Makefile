# `make demo` and `make test` work on a fresh machine with Python, a C compiler and make.
PYTHON ?= python3
VENV ?= .venv
# The checkout is not on the path, so that the installed package is the one that runs, in child processes too.
export PYTHONSAFEPATH = 1
BIN = $(abspath $(VENV))/bin
SOURCES = pyproject.toml setup.py MANIFEST.in $(shell find cowtree -name '*.py' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.pyi' -o -name '*.h' -o -name 'sigbus_guard.c' -o -name 'fork_guard.c' -o -name 'lock_keeper.c')

.PHONY: demo test test-quick campaign soak mutants lint types docs bench bench-quick sanitize sanitize-thread fuzz dev clean

$(VENV)/created:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	touch $@

# Not editable: what is tested is what a user installs. Extras are added to it below without building it again.
$(VENV)/installed: $(VENV)/created $(SOURCES)
	$(BIN)/python -m pip install --quiet .
	touch $@

$(VENV)/test-tools: $(VENV)/installed
	$(BIN)/python -m pip install --quiet "cowtree[test]" || (echo "lmdb cannot be installed here: its comparisons are skipped" && $(BIN)/python -m pip install --quiet pytest pytest-timeout hypothesis xxhash)
	touch $@

$(VENV)/bench-tools: $(VENV)/installed
	$(BIN)/python -m pip install --quiet "cowtree[bench]" || echo "lmdb cannot be installed here: the comparison is left out"
	touch $@

$(VENV)/dev-tools: $(VENV)/test-tools
	$(BIN)/python -m pip install --quiet "cowtree[dev]"
	touch $@

# Only the folder bench is put on the path.
BENCH_PATH = mkdir -p $(VENV)/path && ln -sfn "$(CURDIR)/bench" $(VENV)/path/bench
BENCH = $(BENCH_PATH) && PYTHONPATH=$(VENV)/path $(BIN)/python -m bench

demo: $(VENV)/bench-tools
	$(BIN)/python -m cowtree demo

test: $(VENV)/test-tools
	$(BIN)/python -m pytest $(TESTS)

test-quick: $(VENV)/test-tools
	$(BIN)/python -m pytest -m "not slow" -x $(TESTS)

# 200,000 simulated power cuts, or CAMPAIGN=kills, injected, cuts, calls, allocations, hostile, rot; options in CAMPAIGN_ARGUMENTS (tests/campaign/__main__.py).
CAMPAIGN = states
campaign: $(VENV)/test-tools
	PYTHONPATH=tests $(BIN)/python -m campaign $(CAMPAIGN) $(CAMPAIGN_ARGUMENTS)

# All campaigns in turn, for MINUTES; a failure is printed with the command that repeats it.
MINUTES = 60
SEED = $(shell date +%s)
soak: $(VENV)/test-tools
	PYTHONPATH=tests $(BIN)/python -m campaign soak --minutes $(MINUTES) --seed $(SEED)

# Takes things out of a copy of the product, one at a time: the tests have to notice each. Half an hour; NAMES=... for some.
mutants: $(VENV)/dev-tools
	PYTHONPATH=tests $(BIN)/python -m mutants $(NAMES)

$(VENV)/docs-tools: $(VENV)/installed
	$(BIN)/python -m pip install --quiet "cowtree[docs]"
	touch $@

# The site, in build/site; warnings are errors, and nothing is fetched.
docs: $(VENV)/docs-tools
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

lint: $(VENV)/dev-tools
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(BIN):$$PATH" cython-lint cowtree

types: $(VENV)/dev-tools
	$(BIN)/python -m mypy --strict -p cowtree
	$(BIN)/python -m mypy --strict tests/type_checks docs/examples
	$(BENCH_PATH) && MYPYPATH=$(VENV)/path $(BIN)/python -m mypy --strict -p bench
	$(BIN)/python -m pyright --pythonpath $(BIN)/python cowtree tests/type_checks docs/examples
	$(BIN)/python -m mypy.stubtest --mypy-config-file pyproject.toml --ignore-disjoint-bases --ignore-unused-allowlist --concise --allowlist tests/stubtest-allowlist.txt cowtree

bench: $(VENV)/bench-tools
	$(BENCH) $(BENCH_ARGUMENTS)

bench-quick: $(VENV)/bench-tools
	$(BENCH) --quick $(BENCH_ARGUMENTS)

# The suite, then hostile files, over a build with AddressSanitizer and UndefinedBehaviorSanitizer.
ASAN = LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
	ASAN_OPTIONS=detect_leaks=0:handle_sigbus=0:allow_user_segv_handler=1 UBSAN_OPTIONS=print_stacktrace=1 \
	PYTHONMALLOC=malloc
sanitize:
	$(PYTHON) -m venv .venv-asan
	COWTREE_SANITIZE=address,undefined .venv-asan/bin/python -m pip install --quiet ".[test]"
	$(ASAN) .venv-asan/bin/python -m pytest --capture=sys -m "not slow" $(TESTS)
	$(ASAN) PYTHONPATH=tests .venv-asan/bin/python -m campaign hostile --files 2000 --slack 8

# Threads over a build with ThreadSanitizer; what it says of the interpreter itself is in tests/tsan-suppressions.txt.
THREAD_TESTS = tests/test_threads.py tests/test_exits.py tests/test_shared_sync.py
sanitize-thread:
	$(PYTHON) -m venv .venv-tsan
	COWTREE_SANITIZE=thread .venv-tsan/bin/python -m pip install --quiet ".[test]"
	LD_PRELOAD="$$(gcc -print-file-name=libtsan.so)" PYTHONMALLOC=malloc \
	TSAN_OPTIONS="suppressions=$(CURDIR)/tests/tsan-suppressions.txt exitcode=66 report_signal_unsafe=0 history_size=4" \
	.venv-tsan/bin/python -m pytest -q --capture=sys $(THREAD_TESTS)

# Coverage-guided fuzzing for so many minutes, see tests/fuzz/README.md.
MINUTES = 10
CLANG = clang
fuzz:
	$(PYTHON) -m venv .venv-fuzz
	CC=$(CLANG) COWTREE_SANITIZE=fuzzer-no-link .venv-fuzz/bin/python -m pip install --quiet ".[test]" "atheris>=3,<4"
	mkdir -p build/fuzz/corpus build/fuzz/findings
	LD_PRELOAD="$$(.venv-fuzz/bin/python -c 'import atheris; print(atheris.path())')/ubsan_with_fuzzer.so" \
	PYTHONPATH=tests:tests/fuzz .venv-fuzz/bin/python tests/fuzz/target.py build/fuzz/corpus -artifact_prefix=build/fuzz/findings/ \
	-max_total_time=$$(($(MINUTES) * 60)) -timeout=20 -rss_limit_mb=2048 -max_len=256 -print_final_stats=1

dev:
	PYTHONSAFEPATH= $(PYTHON) setup.py build_ext --inplace

clean:
	rm -rf build dist *.egg-info .venv .venv-asan .venv-tsan .venv-fuzz
	find cowtree -name '*.so' -delete
	find cowtree -name '*.c' ! -name sigbus_guard.c ! -name fork_guard.c ! -name lock_keeper.c -delete
