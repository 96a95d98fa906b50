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
