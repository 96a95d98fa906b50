# What gcc builds, clang takes without a warning too (`make clang` compiles and runs all of it).
load ../support

@test "clang has nothing to say about any source" {
    need_command clang
    cd "$TAPER_SOURCE_DIR"
    files=(src/[!g]*/*.c bench/*.c tests/*.c)
    [ -x "$TAPER_BUILD_DIR/taper-get" ] && files+=(src/get/*.c)
    grep -q '^TAPER_JPEG:BOOL=ON' "$TAPER_BUILD_DIR/CMakeCache.txt" && jpeg=-DTAPER_JPEG
    # shellcheck disable=SC2046,SC2086 # lists of words
    clang -std=c11 -fsyntax-only -Iinclude -Isrc -Itests $(pkg-config --cflags libpng zlib jansson nettle) \
        -DTP_ISA=base ${jpeg:-} -DTAPER_SOURCE_DIR='""' -DTAPER_BUILD_DIR='""' \
        -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wno-pass-failed -Werror \
        "${files[@]}"
}
