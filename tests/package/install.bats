# The installed tree: README's program is built from it through find_package and through pkg-config.
load ../support

setup_file() {
    export PREFIX=$BATS_FILE_TMPDIR/usr
    cmake --install "$TAPER_BUILD_DIR" --prefix "$PREFIX" >/dev/null
    LIBDIR=$(dirname "$(find "$PREFIX" -name libtaper.a)")
    export LIBDIR PKG_CONFIG_PATH=$LIBDIR/pkgconfig
    # The first C block of README.md and the output printed below it.
    awk '/^```/ { inside = !done && /^```c$/; if (was) done = 1; was = inside; next } inside' \
        "$TAPER_SOURCE_DIR/README.md" >"$BATS_FILE_TMPDIR/main.c"
    awk '/^```text$/ { inside = !done; next } /^```/ { if (inside) done = 1; inside = 0 } inside' \
        "$TAPER_SOURCE_DIR/README.md" >"$BATS_FILE_TMPDIR/expected"
    cd "$BATS_FILE_TMPDIR"
}

setup() { cd "$BATS_FILE_TMPDIR"; }

prints_what_readme_says() { # program...
    "$@" >"$BATS_TEST_TMPDIR/got"
    diff -u expected "$BATS_TEST_TMPDIR/got"
}

@test "README's program through find_package" {
    cp "$TAPER_SOURCE_DIR/tests/package/consumer/CMakeLists.txt" .
    cmake -G Ninja -S . -B cmake -DCMAKE_PREFIX_PATH="$PREFIX"
    cmake --build cmake
    prints_what_readme_says cmake/main
}

@test "README's program through pkg-config" {
    # shellcheck disable=SC2046 # words
    cc -std=c11 -Wall -Wextra -Wpedantic -Werror main.c -o main $(pkg-config --cflags --libs taper)
    LD_LIBRARY_PATH=$LIBDIR prints_what_readme_says ./main
}

@test "README's program with the static library" {
    # shellcheck disable=SC2046 # words
    cc main.c -o main-static $(pkg-config --cflags taper) "$LIBDIR/libtaper.a" \
        $(pkg-config --static --libs taper | sed 's/-ltaper\b//')
    run sh -c "ldd main-static | grep libtaper"
    [ "$output" = "" ]
    prints_what_readme_says ./main-static
}

@test "the installed programs find their library" {
    cd /
    run "$PREFIX/bin/taper" --version
    echo "$output"
    [ "$status" = 0 ]
    [ "$output" = "taper $(sed -n 's/.*TP_VERSION_STRING "\(.*\)"/\1/p' "$TAPER_SOURCE_DIR/include/taper/base.h")" ]
}

@test "find_package refuses another minor version" {
    mkdir -p newer
    sed 's/find_package(taper/find_package(taper 0.99/' "$TAPER_SOURCE_DIR/tests/package/consumer/CMakeLists.txt" \
        >newer/CMakeLists.txt
    run cmake -G Ninja -S newer -B newer/build -DCMAKE_PREFIX_PATH="$PREFIX"
    echo "$output"
    [ "$status" != 0 ]
    [[ $output == *'requested version "0.99"'* ]]
}
