# Every public header compiles alone, as C and as C++, with both compilers and every warning.
load ../support

each_header() { # compiler, standard, language
    need_command "$1"
    cd "$TAPER_SOURCE_DIR/include"
    bad=0
    for header in taper.h taper/*.h; do
        for plain in '' -DTAPER_PLAIN; do
            # shellcheck disable=SC2086 # $plain may be nothing
            printf '#include "%s"\n#include "%s"\n' "$header" "$header" |
                "$1" "-std=$2" -x "$3" $plain -I. -Wall -Wextra -Wpedantic -Wshadow -Werror -fsyntax-only - ||
                { echo "$header $plain"; bad=1; }
        done
    done
    [ $bad = 0 ]
}

@test "headers compile alone: gcc, C11" { each_header gcc c11 c; }
@test "headers compile alone: gcc, C++17" { each_header g++ c++17 c++; }
@test "headers compile alone: clang, C11" { each_header clang c11 c; }
@test "headers compile alone: clang, C++17" { each_header clang++ c++17 c++; }

@test "headers have at most 300 lines" {
    cd "$TAPER_SOURCE_DIR/include"
    wc -l taper.h taper/*.h | awk '$2 != "total" && $1 > 300 { print; bad = 1 } END { exit bad }'
}

# What can fail says where it was called: a macro of the same name adds the user's file and line.
# Calls without arguments fail for want of memory only; numbers and lists have macros of their own.
@test "every call that can fail has a macro that adds its place" {
    cd "$TAPER_SOURCE_DIR/include/taper"
    for h in *.h; do tr '\n' ' ' <"$h" | grep -oE 'TP_API (TP_MUST_CHECK|TP_SCOPED|TP_OWNED) [^;]*;'; done |
        grep -vE '\(void\)|tp__' | sed -E 's/^[^(]*[ *](tp_[a-z0-9_A-Z]+)\(.*/\1/' |
        grep -vxE 'tp_num|tp_num_int|tp_nn_sequential_n' | sort -u >"$BATS_TEST_TMPDIR/calls"
    grep -ohE '^#define tp_\w+\(' *.h | sed 's/#define //; s/(//' | sort -u >"$BATS_TEST_TMPDIR/macros"
    [ "$(wc -l <"$BATS_TEST_TMPDIR/calls")" -gt 150 ]
    comm -23 "$BATS_TEST_TMPDIR/calls" "$BATS_TEST_TMPDIR/macros" | tee "$BATS_TEST_TMPDIR/missing"
    [ ! -s "$BATS_TEST_TMPDIR/missing" ]
}

@test "a status that is not looked at is a warning, through the macros too" {
    cd "$TAPER_SOURCE_DIR/include"
    for call in 'tp_backward(x)' 'tp_loader_next(dl, &b)' 'tp_save_npy(x, "x.npy")'; do
        for plain in '' -DTAPER_PLAIN; do
            echo "$call $plain"
            # shellcheck disable=SC2086 # $plain may be nothing
            run cc -std=c11 $plain -I. -S -o /dev/null -Werror=unused-result -x c - <<EOF
#include "taper.h"
void f(tp_tensor *x, tp_loader *dl, tp_batch b) { $call; (void)x, (void)dl, (void)b; }
EOF
            [ "$status" != 0 ]
            [[ "$output" == *unused-result* ]]
        done
    done
}
