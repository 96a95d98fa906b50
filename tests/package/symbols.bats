# What the libraries show to the linker: nothing but the public API, and nothing missing.
load ../support

@test "exported symbols are those of tests/symbols.txt" {
    nm -D --defined-only "$TAPER_BUILD_DIR/libtaper.so" | awk '{ print $3 }' | LC_ALL=C sort >"$BATS_TEST_TMPDIR/symbols"
    run grep -v '^tp_' "$BATS_TEST_TMPDIR/symbols"
    [ "$output" = "" ]
    golden_at "$TAPER_SOURCE_DIR/tests/symbols.txt" "$BATS_TEST_TMPDIR/symbols"
}

@test "the public headers declare what is exported, and nothing else" {
    # Prototypes may come from tables, so the preprocessor goes first, over headers whose TP_API is a sign
    # that stays and whose other attributes go.
    cp -r "$TAPER_SOURCE_DIR/include" "$BATS_TEST_TMPDIR"
    sed -i -e 's/^#define TP_API .*/#define TP_API @/' -e 's/^\(#define TP_[A-Z_]*\((.*)\)\?\) __attribute__.*/\1/' \
        "$BATS_TEST_TMPDIR/include/taper/base.h"
    printf '#define TAPER_PLAIN\n#include "taper.h"\n' | cc -std=c11 -E -P -I "$BATS_TEST_TMPDIR/include" - |
        tr '\n' ' ' | grep -oE '@[^(;]*[(;]' | grep -oE 'tp_\w+ *[(;]' | tr -d '(; ' | LC_ALL=C sort -u \
        >"$BATS_TEST_TMPDIR/declared"
    diff -u "$BATS_TEST_TMPDIR/declared" "$TAPER_SOURCE_DIR/tests/symbols.txt"
}

@test "global names of the static library begin with tp_" {
    run sh -c "nm -g --defined-only '$TAPER_BUILD_DIR/libtaper.a' | awk 'NF == 3 && \$3 !~ /^tp_/ { print \$3 }'"
    [ "$output" = "" ]
}

@test "libtaper.so has no undefined symbol" {
    run ldd -r "$TAPER_BUILD_DIR/libtaper.so"
    echo "$output"
    [ "$status" = 0 ]
    [[ $output != *undefined* ]]
    [[ $output != *"not found"* ]]
}

@test "libtaper.so needs no library but the promised ones" {
    run sh -c "readelf -d '$TAPER_BUILD_DIR/libtaper.so' | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' |
        grep -vE '^(libc|libm|libpthread|libz|libpng16|libjpeg|libjansson|libnettle|ld-linux-x86-64)\.so'"
    [ "$output" = "" ]
}

@test "libtaper.so carries the version in its SONAME" {
    run sh -c "readelf -d '$TAPER_BUILD_DIR/libtaper.so' | grep SONAME"
    [[ $output == *"[libtaper.so.0]"* ]]
}
