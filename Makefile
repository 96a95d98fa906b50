# Names for the commands that people type; everything is done by CMake, ctest and scripts/.
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
PREFIX ?= /usr/local
CTEST = ctest -j $(JOBS) --output-on-failure --test-dir
FUZZ_SECONDS ?= 60
DIFF_PROGRAMS ?= 20000

build:          ## compile the library, the programs, tests and examples into build/
	@test -e build/build.ninja || cmake --preset release
	@cmake --build build -j $(JOBS)

check: build    ## run all tests on the release build
	@$(CTEST) build

asan:           ## the tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@cmake --preset asan
	@cmake --build build-asan -j $(JOBS)
	@$(CTEST) build-asan

tsan:           ## the tests under ThreadSanitizer, but for the long trainings
	@cmake --preset tsan
	@cmake --build build-tsan -j $(JOBS)
	@$(CTEST) build-tsan -E '^(book|chapter4|test_bits|test_book|test_parity)$$'

clang:          ## compile with clang, warnings as errors, and run the tests
	@cmake --preset clang -DTAPER_WERROR=ON
	@cmake --build build-clang -j $(JOBS)
	@$(CTEST) build-clang

valgrind: build ## the C tests under valgrind (which knows no AVX-512)
	@for t in build/tests/test_*; do \
	    echo "valgrind $$t"; \
	    TAPER_ISA=v3 CMOCKA_MESSAGE_OUTPUT=TAP valgrind -q --error-exitcode=99 --leak-check=full \
	        --show-leak-kinds=definite --errors-for-leak-kinds=definite --child-silent-after-fork=yes \
	        --suppressions=tests/valgrind.supp $$t >build/valgrind.log 2>&1 || { cat build/valgrind.log; exit 1; }; \
	done

oom: build      ## the tests that make every allocation fail in turn
	@$(CTEST) build -L oom

isa: build      ## the C tests at each instruction set level: base, v3, v4
	@grep -q avx512vl /proc/cpuinfo || echo "this processor has no v4; TAPER_ISA=v4 runs the best it has"
	@for isa in base v3 v4; do echo "TAPER_ISA=$$isa"; TAPER_ISA=$$isa $(CTEST) build -LE package || exit 1; done

diff: build     ## DIFF_PROGRAMS (20000) random programs against PyTorch, from a fresh seed or DIFF_SEED
	@seed=$${DIFF_SEED:-$$(date +%s)}; echo "make diff DIFF_SEED=$$seed"; \
	    TAPER_SOURCE_DIR=. TAPER_DIFF_PROGRAMS=$(DIFF_PROGRAMS) TAPER_DIFF_SEED=$$seed \
	    build/tests/test_diff 'fresh*'

fuzz:           ## each fuzz target for FUZZ_SECONDS (60)
	@cmake --preset fuzz
	@cmake --build build-fuzz -j $(JOBS)
	@for t in build-fuzz/fuzz/*; do \
	    echo "$$t"; \
	    mkdir -p build-fuzz/corpus/$${t##*/}; \
	    $$t -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 -artifact_prefix=build-fuzz/ \
	        build-fuzz/corpus/$${t##*/} $$(ls -d tests/corpus/$${t##*/fuzz_} 2>/dev/null) || exit 1; \
	done

golden: build   ## rewrite the expected outputs that are checked in; then read the diff
	@TAPER_GOLDEN=rewrite $(CTEST) build
	@git --no-pager diff --stat -- tests

bench: build    ## measure taper beside the peers that are installed; BASE=<rev> compares with it
	@bench/run

loc:            ## lines of code by room, lengths of functions
	@scripts/loc

format:         ## clang-format on all C and C++ files
	@clang-format -i $$(git ls-files '*.c' '*.h' '*.cpp')

install: build  ## install to PREFIX (/usr/local)
	@cmake --install build --prefix $(PREFIX)

clean:          ## remove every build folder
	@rm -rf build build-*

check-all:      ## everything: tests, sanitizers, clang, valgrind, every level, random programs, fuzzing
	@scripts/test
	@$(MAKE) --no-print-directory clang tsan valgrind isa diff fuzz

help:           ## this list
	@awk -F ':.*## ' '/^[a-z -]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.DEFAULT_GOAL = build
.PHONY: build check asan tsan clang valgrind oom isa diff fuzz golden bench loc format install clean check-all help
