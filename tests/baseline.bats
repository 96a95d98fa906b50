# taper baseline: what the mean images are made of, whatever order the images come in.
load support

# An IDX pair of 1 x 2 images: $1 train or t10k, then CLASS:PIXEL:PIXEL for each image, in hexadecimal.
idx() {
    part=$1
    shift
    n=$(printf '\\x%02x' $#)
    printf "\0\0\x08\x03\0\0\0$n\0\0\0\x01\0\0\0\x02" >"$part-images-idx3-ubyte"
    printf "\0\0\x08\x01\0\0\0$n" >"$part-labels-idx1-ubyte"
    for image; do
        IFS=: read -r class a b <<<"$image"
        printf "\x$class" >>"$part-labels-idx1-ubyte"
        printf "\x$a\x$b" >>"$part-images-idx3-ubyte"
    done
}

@test "images of different classes may be interleaved" {
    cd "$BATS_TEST_TMPDIR"
    idx train 02:ff:ff 00:00:00 01:00:ff 02:f0:f8 00:04:08 01:08:f0
    idx t10k 01:10:e0 02:e0:e0 00:01:02 00:09:00 02:ff:f0
    run taper baseline . --json
    echo "$output"
    [ "$status" = 0 ]
    [[ $output == *'"correct":[2,1,2],"total":[2,1,2]'* ]]
}
