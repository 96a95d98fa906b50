# tests/docs.py runs the blocks of a page, and finds each way in which a page can be wrong; what a
# page shows of the command line is run here.
load ../support

page() { cat >"$BATS_TEST_TMPDIR/page.md"; }
docs() { run "$TAPER_SOURCE_DIR/tests/docs.py" "$TAPER_BUILD_DIR" "$BATS_TEST_TMPDIR/page.md" "$@"; echo "$output"; }
complains() { docs; [ "$status" = 1 ]; [[ $output == *"not ok 1"*"$1"* ]]; }

whole_program() { # what the page says it prints
    page <<END
\`\`\`c
#include <stdio.h>
int main(void) {
    puts("one");
    fputs("two\n", stderr);
    puts("three");
}
\`\`\`
It prints

\`\`\`text
$1
\`\`\`
END
}

@test "a program and its output" { whole_program $'one\ntwo\nthree'; docs; [ "$status" = 0 ]; }
@test "another output is found" { whole_program $'one\nthree'; complains "printed"; }
@test "wildcards stand for text and for lines" { whole_program $'o…e\n⋮'; docs; [ "$status" = 0 ]; }
@test "a line is folded, and a rewrite folds a long error" {
    whole_program $'one\ntwo\nth\n  ↪ ree'; complains "printed"
    page <<<$'<!-- c: a -->\n```c\nprintf("%0100d and on (page.md:3)\\n", 1);\n```\n```text\n```'
    TAPER_GOLDEN=rewrite docs
    grep -q '^  ↪ and on (page.md:3)$' "$BATS_TEST_TMPDIR/page.md"
    docs
    [ "$status" = 0 ]
}
@test "one rewrite is enough where a fold moves the lines below it" {
    long='printf("%0100d and on (page.md:3)\n", 1);' place='printf("line %d\n", __LINE__);'
    page <<<$'<!-- c: a -->\n```c\n'"$long"$'\n```\n```text\n```\n\n<!-- c: a -->\n```c\n'"$place"$'\n```\n```text\n```'
    TAPER_GOLDEN=rewrite docs
    grep -q '^line 12$' "$BATS_TEST_TMPDIR/page.md"
    docs
    [ "$status" = 0 ]
}
@test "three dots are three dots" { whole_program $'one\n...\nthree'; complains "printed"; }

@test "pieces share declarations and variables, and each has its own output" {
    page <<'END'
<!-- c: sum top
#include <math.h>
-->
<!-- c: sum -->
```c
double x = sqrt(4);
printf("%g\n", x);
```
```text
2
```
<!-- c: sum top -->
```c
static double twice(double a) { return 2 * a; }
```
<!-- c: other -->
```c
puts(tp_status_text(TP_OK));
```
  1. Indented in a list:

     <!-- c: sum -->
     ```c
     printf("%g\n", twice(x));
     ```
     ```text
     4
     ```
END
    docs
    [ "$status" = 0 ]
    [ "${lines[0]}" = 1..2 ]
}

@test "--show prints a page as C that compiles, and prints what the page says" {
    page <<'END'
<!-- c: sum -->
```c
printf("%d\n", twice(2));
```
```text
4
```
<!-- c: sum top -->
```c
static int twice(int a) { return 2 * a; }
```
<!-- c: sum -->
```c
if (tp_arange(0, 3, 0, TP_INT64) == NULL) tp_perror("show");
```
END
    docs --show
    [ "$status" = 0 ]
    printf '%s\n' "$output" >"$BATS_TEST_TMPDIR/shown.c"
    cc -Wall -I "$TAPER_SOURCE_DIR/include" "$BATS_TEST_TMPDIR/shown.c" -o "$BATS_TEST_TMPDIR/shown" \
        -L "$TAPER_BUILD_DIR" -Wl,-rpath,"$TAPER_BUILD_DIR" -ltaper -lm
    run "$BATS_TEST_TMPDIR/shown"
    [[ ${lines[0]} == "show: arange: "*"shown.c:"* ]]
    [ "${lines[1]}" = 4 ]
}

@test "an output that belongs to another piece is found" {
    page <<'END'
<!-- c: a -->
```c
puts("one");
```
```text
one
two
```
<!-- c: a -->
```c
puts("two");
```
END
    complains "the page says"
}

@test "a block that does not compile is named by page and line" {
    page <<'END'
Some words.

<!-- c: a -->
```c
int good = 1;
bad;
```
END
    complains "page.md:6"
}

@test "a piece without a name is found" { page <<<$'```c\nputs("x");\n```'; complains "needs '<!-- c: NAME -->'"; }
@test "a name that stands before no block is found" { page <<<$'<!-- c: a -->\nwords'; complains "right before its block"; }
@test "an unknown option is found" { page <<<$'<!-- c: a nedes=x -->\n```c\n;\n```'; complains "what does 'nedes=x' mean"; }

@test "an unclosed block is found" {
    page <<<$'```c\nputs("x");'
    complains "not closed"
}

@test "a failing program is found, unless the page says so" {
    page <<<$'<!-- c: a -->\n```c\nreturn 3;\n```'
    complains "main() returned 3, not 0"
    page <<<$'<!-- c: a fails=3 -->\n```c\nreturn 3;\n```'
    docs
    [ "$status" = 0 ]
}

@test "a piece that is never reached is found" {
    page <<<$'<!-- c: a -->\n```c\nreturn 0;\n```\n<!-- c: a -->\n```c\nputs("x");\n```\n```text\nx\n```'
    complains "the block did not run"
}

@test "data that is absent skips the program, or fails it where it is required" {
    page <<<$'<!-- c: a needs=no-such-data.tgz -->\n```c\n;\n```'
    TAPER_REQUIRE_ORACLE=0 docs
    [ "$status" = 0 ]
    [[ $output == *"# skip (missing: no-such-data.tgz)"* ]]
    TAPER_REQUIRE_ORACLE=1 complains "no-such-data.tgz is required"
}

@test "a command that is absent skips the program, or fails it where it is required" {
    page <<<$'<!-- c: a uses=no-such-command -->\n```c\n;\n```'
    TAPER_REQUIRE_ORACLE=0 docs
    [ "$status" = 0 ]
    [[ $output == *"# skip (missing: no-such-command)"* ]]
    TAPER_REQUIRE_ORACLE=1 complains "no-such-command is required"
}

@test "a file that is not made is found; a rewrite takes outputs and files over" {
    page <<<$'<!-- c: a makes=a.svg -->\n```c\nputs("new");\n```\n```text\nold\n```'
    complains "a.svg was not made"
    page <<<$'<!-- c: a makes=a.svg -->\n```c\nputs("new");\nFILE *f = fopen("a.svg", "w");\nputs("x");\nfputs("<svg/>", f);\nfclose(f);\n```\n```text\nold\n```'
    TAPER_GOLDEN=rewrite docs
    [ "$status" = 0 ]
    [ "$(cat "$BATS_TEST_TMPDIR/a.svg")" = "<svg/>" ]
    docs
    [ "$status" = 0 ]
}

@test "a picture that shows other data than the program has now is found" {
    draws() { # a.svg, with what a version of gnuplot makes of it, and a.dat
        page <<END
<!-- c: a makes=a.svg -->
\`\`\`c
FILE *svg = fopen("a.svg", "w"), *dat = fopen("a.dat", "w");
fputs("<svg>$1</svg>", svg), fclose(svg);
fputs("$2", dat), fclose(dat);
\`\`\`
END
    }
    draws "one version" "1 2" && TAPER_GOLDEN=rewrite docs
    draws "another version" "1 2" && docs
    [ "$status" = 0 ]
    draws "one version" "1 3" && complains "a.svg shows something else"
}

# Folds undone; without times, and blanks at line ends.
plain() { sed -E ':a;N;$!ba;s/\n {13}/ /g' | sed -E 's/ +[0-9]+:[0-9][0-9] *$//; s/ +$//; s/ +time$//'; }

# The commands of a page's console blocks, but for `taper get`, print what the page says.
console() { # page
    grep -q avx2 /proc/cpuinfo && [ "${TAPER_ISA:-}" != base ] || skip "(missing: AVX2)"
    need_data mnist_sample.tgz
    tar -xf "$data" -C "$BATS_TEST_TMPDIR"
    need_data mnist
    ln -s "$(realpath "$data")" "$BATS_TEST_TMPDIR/mnist"
    cd "$BATS_TEST_TMPDIR"
    sed -n '/^```console$/,/^```$/{/^```/d;p}' "$TAPER_SOURCE_DIR/$1" | plain >said
    grep '^\$ taper' said | while read -r _ command; do
        echo "\$ $command"
        [[ $command == "taper get "* ]] || $command 2>&1
    done | plain >printed
    diff -u said printed
}

@test "README's commands print what it says" { console README.md; }
@test "the book's commands print what it says" { console docs/book/10-where-to-go.md; }
