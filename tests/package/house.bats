# The rules of the house (scripts/layers) hold, and the script finds each kind of breach.
load ../support

# A small tree that keeps every rule, to break one at a time.
setup() {
    tree=$BATS_TEST_TMPDIR/tree
    mkdir -p "$tree"/src/base "$tree"/src/kernels "$tree"/src/tensor "$tree"/src/cli \
        "$tree"/include/taper "$tree"/examples "$tree"/tests
    echo '#include "base/base.h"' >"$tree/src/kernels/kernels.h"
    echo '#include "kernels/kernels.h"' >"$tree/src/tensor/view.c"
    echo '#include <taper.h>' >"$tree/src/cli/main.c"
    echo '#include "taper/base.h"' >"$tree/include/taper/tensor.h"
    : >"$tree/src/base/base.h"
    : >"$tree/include/taper/base.h"
}

breaks_a_rule() { # expected message
    run "$TAPER_SOURCE_DIR/scripts/layers" "$tree"
    echo "$output"
    [ "$status" = 1 ]
    [ "$output" = "$1" ]
}

@test "this tree keeps the rules of the house" { "$TAPER_SOURCE_DIR/scripts/layers"; }
@test "a tree that keeps them passes" { "$TAPER_SOURCE_DIR/scripts/layers" "$tree"; }

@test "an include that points upwards is found" {
    echo '#include "tensor/tensor.h"' >"$tree/src/base/error.c"
    breaks_a_rule "src/base/error.c: room base must not include tensor/tensor.h"
}

@test "a program that reaches into the library is found" {
    echo '#include "base/base.h"' >"$tree/src/cli/args.c"
    breaks_a_rule "src/cli/args.c: room cli must not include base/base.h"
}

@test "a public header that points upwards is found" {
    echo '#include "taper/tensor.h"' >"$tree/include/taper/base.h"
    breaks_a_rule "include/taper/base.h: room base must not include taper/tensor.h"
}

@test "a library used outside its room is found" {
    echo '#include <png.h>' >"$tree/src/tensor/view.c"
    breaks_a_rule "src/tensor/view.c: room tensor must not use png.h"
}

@test "a folder that is no room is found" {
    mkdir "$tree/src/misc"
    : >"$tree/src/misc/odds.c"
    breaks_a_rule "src/misc/odds.c: misc is not a room (scripts/layers)"
}

@test "conditional compilation in the wrong place is found" {
    echo '#ifdef __linux__' >"$tree/src/tensor/view.c"
    breaks_a_rule "conditional compilation outside base/{os,cpu,alloc}.c, kernels/ and the codecs: src/tensor/view.c"
}

@test "two files of one name are found" {
    : >"$tree/src/kernels/view.c"
    breaks_a_rule "file names that occur twice in src/: view.c"
}

@test "a file of more than 800 lines is found" {
    yes '' | head -801 >"$tree/src/tensor/view.c"
    breaks_a_rule "files over 800 lines: src/tensor/view.c (801)"
}

@test "a line of more than 100 columns is found" {
    printf '/* %094d */\n' 0 >"$tree/src/tensor/view.c"
    "$TAPER_SOURCE_DIR/scripts/layers" "$tree"
    printf '\n/* %095d */\n' 0 >"$tree/src/tensor/view.c"
    breaks_a_rule "lines over 100 columns: src/tensor/view.c:2"
}
