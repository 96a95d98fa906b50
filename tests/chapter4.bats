# The chapter, digit for digit: examples/chapter4 against the published notebook and against PyTorch.
load support

setup_file() {
    for data in "${TAPER_DATA:-}/mnist_sample.tgz" "$TAPER_SOURCE_DIR/../shared/data/mnist_sample.tgz"; do
        [ ! -r "$data" ] || { tar -C "$BATS_FILE_TMPDIR" -xf "$data"; break; }
    done
    export MNIST=$BATS_FILE_TMPDIR/mnist_sample
}

setup() {
    cd "$BATS_TEST_TMPDIR"
    chapter4=$TAPER_BUILD_DIR/examples/chapter4
    compare=$TAPER_SOURCE_DIR/tests/compare_transcript.py
    [ -x "$chapter4" ] || skip "(built without examples)"
    need_python sys
}

# Run the notebook and compare all of it; a transcript holds this many numbers and words.
same_as() { # golden, options...
    [ -d "$MNIST" ] || lacks mnist_sample.tgz
    local golden=$TAPER_SOURCE_DIR/tests/golden/$1
    shift
    "$chapter4" --data "$MNIST" "$@" >transcript.txt
    run "$python" "$compare" "$golden" transcript.txt
    echo "$output"
    [ "$status" = 0 ]
    [ "$output" = "561 integers, 366 floats, 725 words compared; 0 lines differ" ]
}

# The digits are the release build's to show; under a sanitizer each way is run once.
sanitized() { grep -q '^TAPER_SANITIZE:[A-Z]*=.' "$TAPER_BUILD_DIR/CMakeCache.txt"; }

@test "the published notebook" {
    same_as chapter4_published.txt
    sanitized || same_as chapter4_published.txt --run published --seed 42
}

# Seed 0: whose first epochs show the last bits of each gradient.
@test "fresh runs from seeds 0, 7 and 42, as PyTorch runs them" {
    same_as chapter4_fresh_0.txt --run fresh --seed 0
    sanitized || same_as chapter4_fresh_7.txt --run fresh --seed 7
    sanitized || same_as chapter4_fresh_42.txt --run fresh
}

@test "a fresh run is the same on one thread and on three, and with plain instructions" {
    [ -d "$MNIST" ] || lacks mnist_sample.tgz
    sanitized || TAPER_THREADS=1 "$chapter4" --data "$MNIST" --run fresh --seed 7 >one.txt
    TAPER_THREADS=3 "$chapter4" --data "$MNIST" --run fresh --seed 7 >three.txt
    "$python" "$compare" "$TAPER_SOURCE_DIR/tests/golden/chapter4_fresh_7.txt" three.txt
    if sanitized; then return; fi
    cmp one.txt three.txt
    TAPER_ISA=base "$chapter4" --data "$MNIST" --run fresh --seed 7 >base.txt
    "$python" "$compare" "$TAPER_SOURCE_DIR/tests/golden/chapter4_fresh_7.txt" base.txt
}

# The comparer says of the line $1 against $2 what $3 says: 0 equal, 1 not.
judged() { # expected, actual, status
    printf '%s\n' "$1" >expected
    printf '%s\n' "$2" >actual
    run "$python" "$compare" expected actual
    [ "$status" = "$3" ] || { echo "$1 against $2: $output"; return 1; }
}

@test "the comparer: one unit of the last digit or 1e-6, all else exact" {
    judged 'tensor(0.1114)' 'tensor(0.1115)' 0
    judged 'tensor(0.1114)' 'tensor(0.1116)' 1
    judged 'tensor(0.9999)' 'tensor( 1.0000)' 0
    judged '0.978' '0.9781' 0
    judged '0.978' '0.9782' 1
    judged '25823.8086' '25823.8066' 0
    judged '25823.8086' '25823.8486' 1
    judged '[-0.0001]' '[ 0.0000]' 0
    judged '1.2e-05' '1.3e-05' 0
    judged '1.2e-05' '1.4e-05' 1
    judged '(#6131)' '(#6132)' 1
    judged "Path('train/3/10.png')" "Path('train/3/11.png')" 1
    judged 'tensor(3.)' 'tensor(3)' 1
    judged 'grad_fn=<AddBackward0>' 'grad_fn=<MulBackward0>' 1
    judged '[True, False]' '[True, True]' 1
    judged "$(printf 'a 1.0\nb')" 'a 1.0' 1
    judged 'nan' '0.5' 1
}

@test "errors: no data, another folder, a published run from another seed" {
    run "$chapter4"
    [ "$status" = 2 ] && [ "${lines[0]}" = "usage: chapter4 --data DIR [--run published|fresh] [--seed N]" ]
    run "$chapter4" --data . --seed 7
    [ "$status" = 2 ]
    run "$chapter4" --data . --run fresh --seed 7x
    [ "$status" = 2 ]
    run "$chapter4" --data nowhere
    [ "$status" = 1 ] && [[ "$output" = *nowhere* ]]
}
