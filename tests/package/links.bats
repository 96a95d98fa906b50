# tests/links.py finds each way in which a link can lead nowhere.
load ../support

page() { cat >"$BATS_TEST_TMPDIR/page.md"; }
links() { run "$TAPER_SOURCE_DIR/tests/links.py" "$BATS_TEST_TMPDIR/page.md"; echo "$output"; }
complains() { links; [ "$status" = 1 ]; [[ $output == *"# line $1" ]]; }

@test "every link of the pages leads somewhere" { "$TAPER_SOURCE_DIR/tests/links.py"; }

@test "files, folders, headings and addresses" {
    touch "$BATS_TEST_TMPDIR/a(1).svg"
    page <<'END'
# A `first` Heading, and more

[web](https://example.org/none), [here](#a-first-heading-and-more), [the second](#twice-1), [up](..),
![a picture](a(1).svg), [this page](page.md#twice).

## Twice
## Twice

Code: `[a](nowhere)`, and

    [b](nowhere)

```c
f[0](nowhere);
```
END
    links
    [ "$status" = 0 ]
}

@test "a file that is not there is found" {
    page <<<$'one\n\nsee [this](other.md).'
    complains "3: other.md: there is no such file"
}
@test "a picture that is not there is found" {
    page <<<'![a three](three.svg)'
    complains "1: three.svg: there is no such file"
    page <<<'<img src="three.svg" alt="a three">'
    complains "1: three.svg: there is no such file"
}
@test "a picture without a text is found" {
    touch "$BATS_TEST_TMPDIR/three.svg"
    page <<<'![](three.svg)'
    complains "1: three.svg: a picture without a text"
}
@test "a heading that is not there is found" {
    page <<<$'# One\n[two](#two)'
    complains "2: #two: page.md has no such heading"
}
@test "a fold that makes a list of a sentence is found" {
    page <<<$'Lists:\n1. one\n2. two\n\nAnd\n2 - 1\n* 1\n'
    complains "7: *: a line within a paragraph that begins as a list or a heading does"
    page <<<$'They add up to\n1. So they are.'
    complains "2: 1.: a line within a paragraph that begins as a list or a heading does"
}
