# tests/support.bash -- what the bats tests share: `load support` (or ../support) in a test file.
# ctest puts the built programs on PATH and sets TAPER_SOURCE_DIR and TAPER_BUILD_DIR.

# Skip this test because something is missing; a failure where TAPER_REQUIRE_ORACLE=1.
lacks() { # what
    if [ "${TAPER_REQUIRE_ORACLE:-}" = 1 ]; then
        echo "$1 is required here and is missing"
        return 1
    fi
    skip "(missing: $1)"
}

# Set $data to the path of a data file or folder ("mnist_sample.tgz"); skips where it is absent.
need_data() { # name
    for data in "${TAPER_DATA:-}/$1" "$TAPER_SOURCE_DIR/../shared/data/$1"; do
        if [ -r "$data" ]; then
            return 0
        fi
    done
    lacks "$1"
}

need_command() { # name
    command -v "$1" >/dev/null || lacks "$1"
}

# Set $python to a Python that has the module ("torch"); skips where there is none.
need_python() { # module
    for python in ${TAPER_PYTHON:-} python3 /usr/bin/python3; do
        if "$python" -c "import $1" 2>/dev/null; then
            return 0
        fi
    done
    lacks "Python with $1"
}

# Compare the file $2 (default: $output of `run`) with tests/golden/$1, or rewrite that one where
# TAPER_GOLDEN=rewrite.
golden() { # name [file]
    golden_at "$TAPER_SOURCE_DIR/tests/golden/$1" "${2:-}"
}

golden_at() { # path [file]
    got=${2:-}
    if [ -z "$got" ]; then
        got=$BATS_TEST_TMPDIR/golden
        printf '%s\n' "$output" >"$got"
    fi
    if [ "${TAPER_GOLDEN:-}" = rewrite ]; then
        cp "$got" "$1"
    else
        diff -u "$1" "$got"
    fi
}
