# taper-get: archives good and evil, a server that misbehaves, and never anything half-written.
# No test needs a network beyond 127.0.0.1.
load support

setup_file() {
    export SRV=$BATS_FILE_TMPDIR/srv
    mkdir "$SRV"
    python3 "$TAPER_SOURCE_DIR/tests/get_archives.py" "$SRV"
    python3 "$TAPER_SOURCE_DIR/tests/get_server.py" "$SRV" "$SRV/port" "$SRV/log" 3>&- &
    echo $! >"$BATS_FILE_TMPDIR/server"
    for _ in $(seq 100); do
        [ -e "$SRV/port" ] && break
        sleep 0.1
    done
    WEB=http://127.0.0.1:$(cat "$SRV/port")
    SUM=$(sha256sum "$SRV/shapes.tgz" | cut -d' ' -f1)
    export WEB SUM no_proxy=127.0.0.1 TAPER_DATASETS=$BATS_FILE_TMPDIR/none
}

teardown_file() {
    kill "$(cat "$BATS_FILE_TMPDIR/server")"
}

setup() {
    export TAPER_HOME=$BATS_TEST_TMPDIR/cache
    mkdir "$BATS_TEST_TMPDIR/here"
    cd "$BATS_TEST_TMPDIR/here"
}

# Run taper-get; $status, and what it wrote in the files out and err.
get() {
    status=0
    taper-get --wait 0 --timeout 1 "$@" >../out 2>../err || status=$?
    cat ../out ../err
}

succeeds() { # line of the output
    [ "$status" = 0 ]
    [ ! -s ../err ]
    grep -qF -- "$1" ../out
}

# One clear line that holds all the words; for wrong usage a hint as well.
fails() { # status word...
    [ "$status" = "$1" ]
    [ "$(wc -l <../err)" = "$1" ]
    shift
    grep -q '^taper get: ' ../err
    for word; do
        head -n 1 ../err | grep -qF -- "$word"
    done
}

# Neither here nor in the cache is anything but what is named (as find prints it, sorted).
only() {
    [ "$( (cd .. && find here cache -mindepth 1 -maxdepth 1 2>/dev/null) | sort | xargs)" = "$*" ]
}

cached() { # files in the cache with this ending
    find "$TAPER_HOME" -type f -name "*$1" | wc -l
}

requests() { # this test's lines in the server's log
    grep -F "?$BATS_TEST_NUMBER " "$SRV/log"
}

url() { # mode file
    echo "$WEB/$1/$2?$BATS_TEST_NUMBER"
}

same_tree() { # archive folder: the folder holds what tar and unzip make of the archive
    mkdir ../tree
    tar -xf "$1" -C ../tree
    diff -r "../tree/$3" "$2"
}

# ---- usage ----

@test "get: help lists every option with its default, and the known names with sizes" {
    for how in "" --help -h "mnist --help"; do
        # shellcheck disable=SC2086
        status=0; taper-get $how >../out 2>../err || status=$?
        succeeds "mnist_sample    3.2 MB"
        succeeds "fashion_mnist    31 MB"
    done
    for option in --to --from --sha256 --max-size --tries --wait --timeout --force --refresh --json; do
        grep -q "^  $option .*\[.*\]$" ../out
    done
}

@test "get: wrong usage ends with 2 and says what is wrong" {
    get --colour; fails 2 "there is no option --colour"
    get mnist --to; fails 2 "--to wants a value"
    get mnist --tries 0; fails 2 "--tries: '0'"
    get mnist --timeout=soon; fails 2 "--timeout: 'soon'"
    get mnist --wait -1; fails 2 "--wait: '-1'"
    get mnist --max-size 5X; fails 2 "--max-size: '5X'"
    get mnist --max-size 99999999999999T; fails 2 "--max-size"
    get mnist --force=yes; fails 2 "--force takes no value"
    get mnist mnist_tiny; fails 2 "one data set at a time"
    get --json; fails 2 "which data set?"
    get ""; fails 2 "the name is empty"
    get mnits; fails 2 "did you mean mnist?"
    get cifar; fails 2 "neither a known data set nor a file"
    get ftp://127.0.0.1/x.tgz; fails 2 "only http, https and file"
    get "$SRV"; fails 2 "is a folder already"
    get mnist --sha256 "$SUM"; fails 2 "--sha256 is for"
    get "$SRV/shapes.tgz" --from here; fails 2 "--from is for"
    get "$SRV/shapes.tgz" --sha256 12ab; fails 2 "--sha256: '12ab'"
    only
}

@test "get: output that cannot be written is a failure" {
    status=0; taper-get --help >/dev/full 2>../err || status=$?
    fails 1 "cannot write to stdout"
}

# ---- local archives ----

@test "get: .tgz, .tar, .zip and .tar.gz without a folder of their own unpack to the same tree" {
    get "$SRV/shapes.tgz"
    succeeds "shapes: 70 images in 2 classes (train 50, valid 20) in shapes. Next: taper train shapes"
    same_tree "$SRV/shapes.tgz" shapes shapes
    for name in shapes.tar shapes.zip bare.tar.gz; do
        get "$SRV/$name" --to "$name.d"
        succeeds "70 images in 2 classes"
        diff -r shapes "$name.d"
    done
    only here/bare.tar.gz.d here/shapes here/shapes.tar.d here/shapes.zip.d
}

@test "get: a folder called train stays where it is the only one" {
    get "$SRV/part.tgz" --to deep/er/data
    succeeds "50 images in 2 classes (train 50) in deep/er/data"
    [ -d deep/er/data/train/circle ]
}

@test "get: other layouts are summed up as taper train sees them" {
    get "$SRV/classes.tgz"; succeeds "classes: 50 images in 2 classes in classes. Next:"
    get "$SRV/listed.tgz"; succeeds "listed: 70 images in listed. Next:"
    get "$SRV/one.tgz"
    succeeds "25 images in 1 class (train 25) in one. To train, it lacks two folders of images"
    get "$SRV/tests.tgz"; succeeds "90 images in 2 classes (train 50, valid 20, test 20) in tests. Next"
}

@test "get: the next step is a command that a shell understands" {
    get "file://$SRV/shapes.tgz" --to "my data"
    succeeds "Next: taper train 'my data'"
    get "$SRV/shapes.tgz" --to=-x
    succeeds "Next: taper train ./-x"
}

@test "get: the MNIST sample, all of it" {
    need_data mnist_sample.tgz
    get "$data"
    succeeds "mnist_sample: 14,434 images in 2 classes (train 12,396, valid 2,038) in mnist_sample."
    [ "$(find mnist_sample/train/3 -name '*.png' | wc -l)" = 6131 ]
    [ "$(find mnist_sample/train/7 -name '*.png' | wc -l)" = 6265 ]
    [ "$(find mnist_sample/valid/3 -name '*.png' | wc -l)" = 1010 ]
    [ "$(find mnist_sample/valid/7 -name '*.png' | wc -l)" = 1028 ]
    same_tree "$data" mnist_sample mnist_sample
}

@test "get: a target that is whole is recognised, another one is refused" {
    get "$SRV/shapes.tgz" && inode=$(stat -c %i shapes)
    touch shapes/model.taper # the user's own files do not matter
    get "$SRV/shapes.tgz"; succeeds "shapes is already there: 70 images"
    [ "$(stat -c %i shapes)" = "$inode" ]
    printf x | dd of=shapes/train/circle/3.png bs=1 seek=9 conv=notrunc 2>/dev/null
    get "$SRV/shapes.tgz"; fails 1 "1 of 71 files are missing or differ (train/circle/3.png differs)" --force
    printf x >>shapes/labels.csv
    get "$SRV/shapes.tgz"; fails 1 "2 of 71 files"
    rm shapes/train/circle/3.png
    get "$SRV/shapes.tgz"; fails 1 "(train/circle/3.png is missing)"
    mkdir other && echo mine >other/file
    get "$SRV/shapes.tgz" --to other; fails 1 "other is there, but it is not shapes"
    [ "$(ls other)" = file ]
    echo mine >plain
    get "$SRV/shapes.tgz" --to plain; fails 1 "is not a folder"
    ln -s nowhere dangling
    get "$SRV/shapes.tgz" --to dangling; fails 1 "the link leads nowhere"
    only here/dangling here/other here/plain here/shapes
}

@test "get: --force moves the folder in the way aside and deletes nothing" {
    mkdir shapes && echo mine >shapes/file
    get "$SRV/shapes.tgz" --force; succeeds "it is now"
    [ "$(cat shapes.old/file)" = mine ]
    get "$SRV/shapes.tgz" --force
    [ -d shapes.old2/train ]
    get "$SRV/shapes.tgz"; succeeds "already there"
    only here/shapes here/shapes.old here/shapes.old2
}

@test "get: an empty folder is a fine target, the current one is not" {
    mkdir empty
    get "$SRV/shapes.tgz" --to empty; succeeds "in empty"
    mkdir inside && cd inside
    status=0; taper-get "$SRV/shapes.tgz" --to . >../../out 2>../../err || status=$?
    cd ..
    fails 1 "the current folder cannot be replaced"
    [ -d inside ]
    get "$SRV/shapes.tgz" --to /; fails 1
    get "$SRV/shapes.tgz" --to no/..; fails 1 "cannot be a target"
    only here/empty here/inside
}

@test "get: what a killed run left behind goes away" {
    mkdir -p .shapes.taper-get/train && touch .shapes.taper-get/train/junk .shapes.taper-get.lock
    get "$SRV/shapes.tgz"; succeeds "70 images"
    [ ! -e shapes/train/junk ]
    only here/shapes
}

@test "get: odd but harmless archives" {
    get "$SRV/pax.tgz"; succeeds "1 file"
    [ "$(find pax -name 'é.txt' | wc -l)" = 1 ]
    get "$SRV/bytes.tgz"; succeeds "1 file"
    get "$SRV/modes.tgz"; succeeds "1 file"
    [ -z "$(find modes -perm /6111 -type f)" ]
    get "$SRV/macos.tgz"; succeeds "4 entries that only macOS needs are left out"
    [ -z "$(find macos -name '._*' -o -name .DS_Store)" ]
    succeeds "70 images in 2 classes"
}

@test "get: --sha256 decides, whatever its letters' case" {
    get "$SRV/shapes.tgz" --sha256 "$(echo "$SUM" | tr a-f A-F)"; succeeds "70 images"
    get "$SRV/shapes.tar" --sha256 "$SUM" --to other; fails 1 "has the sha256" "not $SUM"
    only here/shapes
}

# ---- evil and damaged archives ----

@test "get: evil archives are refused by the entry's name, and nothing is written" {
    refused() { # archive entry reason
        get "$SRV/$1"
        fails 1 "refused, nothing was unpacked" "'$2'" "$3"
        only
    }
    refused dotdot.tgz "shapes/../../evil.txt" "leads out of the folder"
    refused dotdot.zip "../evil.txt" "leads out of the folder"
    refused absolute.tgz "$SRV/evil.txt" "absolute path"
    refused symlink.tgz shapes/link "symbolic link"
    refused symlink.zip shapes/link "symbolic link"
    refused through.tgz shapes/train/a/up "symbolic link"
    refused hardlink.tgz shapes/link "hard link"
    refused inner.tgz shapes/link "hard link"
    refused device.tgz shapes/null "device"
    refused block.tgz shapes/disk "device"
    refused pipe.tgz shapes/pipe "pipe"
    refused twice.tgz shapes/train/a/1.png "appears twice"
    refused both.tgz shapes/train/a/1.png/2.png "inside another file"
    refused bomb.tgz shapes/zeros "more than 256 MB"
    refused bomb.zip shapes/zeros "more than 256 MB"
    refused many.tgz shapes/empty "more than 256 MB"
    refused claim.tgz shapes/claim "more than 256 MB"
    refused escape.tgz 'shapes/\x1b[2J\x0afake' "symbolic link"
    [ -z "$(find "$BATS_FILE_TMPDIR" -name 'evil.txt')" ]
}

@test "get: --max-size moves the limit" {
    get "$SRV/shapes.tgz" --max-size 300k; fails 1 "more than 300 kB"
    get "$SRV/bomb.tgz" --max-size 1G; succeeds "2 files, 260 MB unpacked"
    only here/bomb
}

@test "get: damaged archives are named, and nothing is written" {
    damaged() { # archive reason
        get "$SRV/$1"
        fails 1 "$1" "$2"
        only
    }
    damaged cut.tgz "cut short or damaged"
    damaged sum.tgz "cut short or damaged"
    damaged cut.tar "cut short or damaged"
    damaged header.tar "cut short or damaged"
    damaged cut.zip "cut short or damaged"
    damaged flip.zip "cut short or damaged"
    damaged empty.tgz "is empty"
    damaged text.tgz "is neither an archive"
    damaged page.tgz "is a web page"
    damaged prose.txt.gz "is neither an archive"
    damaged nothing.tar "holds no files"
    damaged missing.tgz "there is no such file"
    get file:///no/such.tgz; fails 1 "there is no such file"
    get file://elsewhere/x.tgz; fails 1 "does not name a file on this machine"
}

@test "get: a full disk leaves nothing behind" {
    ( ulimit -f 100; get "$SRV/bomb.tgz" --max-size 1G; echo "$status" >../status )
    status=$(cat ../status)
    fails 1 "shapes/zeros" "File too large"
    only
    ( ulimit -f 100; get "$(url ok shapes.tgz)"; echo "$status" >../status )
    status=$(cat ../status)
    fails 1 "cannot be kept" "File too large"
    [ "$(cached '*')" = 0 ]
}

# ---- single IDX files ----

@test "get: IDX files join each other in one folder" {
    get "$SRV/train-images-idx3-ubyte.gz" --to digits
    succeeds "20 images (train 20) in digits. To train, it lacks train-labels-idx1-ubyte.gz."
    get "$(url ok train-labels-idx1-ubyte.gz)" --to digits
    succeeds "20 images in 5 classes (train 20) in digits. Next: taper train digits"
    get "$SRV/train-labels-idx1-ubyte.gz" --to digits; succeeds "already there"
    cp "$SRV/train-images-idx3-ubyte.gz" digits/train-labels-idx1-ubyte.gz
    get "$SRV/train-labels-idx1-ubyte.gz" --to digits; fails 1 "is there and differs"
    get "$SRV/train-labels-idx1-ubyte.gz" --to digits --force; succeeds "it is now"
    [ "$(ls -A digits)" = "$(printf '%s\n' train-images-idx3-ubyte.gz train-labels-idx1-ubyte.gz \
        train-labels-idx1-ubyte.gz.old)" ]
}

@test "get: IDX headers that lie" {
    get "$SRV/short-idx3-ubyte.gz"; fails 1 "promises 336 bytes of data, but there are 320"
    get "$SRV/long-idx3-ubyte.gz"; fails 1 "promises 304 bytes of data, but there are more"
    get "$SRV/huge-idx3-ubyte.gz"; fails 1 "more bytes than there can be"
    get "$SRV/cut-idx3-ubyte.gz"; fails 1 "cut short"
    get "$SRV/header-idx3-ubyte.gz"; fails 1 "cut short"
    only
}

# ---- known names ----

@test "get: a known name's archive must have its md5" {
    need_data mnist_sample.tgz
    get mnist_sample --from "$(dirname "$data")"
    fails 1 "is not mnist_sample's" "3,066,305 bytes with md5 caba13c86b8759bea3b40ce3568f3a09" \
        "not 3,214,948 with md5 2dbc7ec6f9259b583af0072c55816a88"
    only
    cp "$data" "$SRV/mnist_sample.tgz"
    get mnist_sample --from "$WEB/ok"
    fails 1 "it has 3,066,305 bytes, not 3,214,948"
    [ "$(cached '*')" = 0 ]
}

@test "get: a known size with other bytes is thrown away" {
    head -c 342207 /dev/zero >"$SRV/mnist_tiny.tgz"
    get mnist_tiny --from "$WEB/ok"
    fails 1 "ok/mnist_tiny.tgz is not mnist_tiny's" "thrown away" "not 342,207 with md5 56143e8f24db90d925d82a5a74141875"
    head -c 342208 /dev/zero >"$SRV/mnist_tiny.tgz"
    get mnist_tiny --from "$WEB/ok"; fails 1 "it has 342,208 bytes, not 342,207"
    get mnist_tiny --from "$WEB/more"; fails 1 "goes on after 342,207 bytes"
    head -c 1000 /dev/zero >"$SRV/mnist_tiny.tgz"
    get mnist_tiny --from "$WEB/more"; fails 1 "goes on after 342,207 bytes"
    get mnist_tiny --from "$WEB/404"; fails 1 "is not there (the server says 404)"
    get mnist_tiny --from nowhere; fails 1 "nowhere/mnist_tiny.tgz: there is no such file"
    only
}

@test "get: mnist, from a folder and from a server that breaks off, any gzip of it" {
    need_data mnist
    get mnist --from "file://$data"
    succeeds "mnist: 70,000 images in 10 classes (train 60,000, test 10,000) in mnist. Next: taper train mnist"
    diff -r "$data" mnist
    get mnist; succeeds "mnist is already there"
    ln -sfn "$data" "$SRV/mnist"
    get mnist --from "$WEB/breaks-4000000/mnist" --to second
    succeeds "going on at 4.0 MB"
    diff -r "$data" second
    get mnist --to third --from "http://127.0.0.1:1/" # nobody listens there: all from the cache
    succeeds "from the cache"
    diff -r "$data" third
    printf x | dd of=third/t10k-labels-idx1-ubyte.gz bs=1 seek=99 conv=notrunc 2>/dev/null
    get mnist --to third; fails 1 "third is there, but it is not mnist" "t10k-labels-idx1-ubyte.gz"
    printf x | dd of="$TAPER_HOME/mnist/t10k-labels-idx1-ubyte.gz" bs=1 seek=99 conv=notrunc 2>/dev/null
    get mnist --to fourth --from "$WEB/ok/mnist"; succeeds "fetching it again"
    diff -r "$data" fourth
}

@test "get: mnist is not what another set's files say" {
    mkdir fake
    for part in train t10k; do
        cp "$SRV/train-images-idx3-ubyte.gz" fake/$part-images-idx3-ubyte.gz
        cp "$SRV/train-labels-idx1-ubyte.gz" fake/$part-labels-idx1-ubyte.gz
    done
    get mnist --from fake
    fails 1 "fake/train-images-idx3-ubyte.gz is not mnist's" "336 bytes" "not 47,040,016 with md5 6bbc9ace898e44ae57da46a324031adb"
    head -c 47040016 /dev/zero | gzip -1 >fake/train-images-idx3-ubyte.gz
    get mnist --from fake; fails 1 "it unpacks to 47,040,016 bytes with md5" "not 47,040,016 with md5 6bbc9"
    head -c 50000000 /dev/zero | gzip -1 >fake/train-images-idx3-ubyte.gz
    get mnist --from fake; fails 1 "it unpacks to more than 47,040,016 bytes"
    echo "no gzip" >fake/train-images-idx3-ubyte.gz
    get mnist --from fake; fails 1 "is not a gzip file"
    only here/fake
}

@test "get: fashion_mnist from Debian's package" {
    [ -d /usr/share/datasets/fashion-mnist ] || lacks "Debian's dataset-fashion-mnist"
    unset TAPER_DATASETS
    get fashion_mnist
    succeeds "fashion_mnist: from /usr/share/datasets/fashion-mnist"
    succeeds "70,000 images in 10 classes (train 60,000, test 10,000)"
    [ "$(ls -A fashion_mnist | wc -l)" = 4 ]
    get fashion_mnist --json
    succeeds '"already":true'
    only here/fashion_mnist
}

@test "get: fashion_mnist looks at home first, then at its address" {
    export http_proxy=$WEB no_proxy= # a proxy that says 404 to everything
    get fashion_mnist
    fails 1 "fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-images-idx3-ubyte.gz is not there"
    grep -qF "not in $TAPER_DATASETS/fashion-mnist (Debian's package dataset-fashion-mnist" ../out
    export TAPER_DATASETS=$PWD
    mkdir fashion-mnist && cp "$SRV/train-images-idx3-ubyte.gz" fashion-mnist
    get fashion_mnist
    fails 1 "amazonaws.com/train-images-idx3-ubyte.gz is not there"
    grep -qF "fashion-mnist/train-images-idx3-ubyte.gz is not fashion_mnist's" ../out
    [ "$(cached '*')" = 0 ]
    [ "$(ls -A)" = fashion-mnist ]
}

# ---- the server ----

@test "get: a URL is fetched once, kept, and told by its sha256" {
    get "$(url ok shapes.tgz)"
    succeeds "sha256 $SUM"
    succeeds "70 images in 2 classes"
    [ "$(requests)" = "ok shapes.tgz?$BATS_TEST_NUMBER - -" ]
    [ "$(cached '*')" = 1 ]
    [ "$(cached shapes.tgz)" = 1 ]
    get "$(url ok shapes.tgz)" --to again; succeeds "from the cache"
    [ "$(requests | wc -l)" = 1 ]
    get "$(url ok shapes.tgz)" --refresh; succeeds "already there"
    [ "$(requests | wc -l)" = 2 ]
    get "$(url ok shapes.tgz)" --sha256 "$SUM"; succeeds "already there"
    get "$(url ok shapes.tgz)" --sha256 "${SUM%?????}00000"; fails 1 "has the sha256 $SUM"
    get "$(url hop shapes.tgz)" --to hopped; succeeds "70 images"
}

@test "get: the cache's place" {
    unset TAPER_HOME
    XDG_CACHE_HOME=$PWD/xdg get "$(url ok shapes.tgz)"; succeeds "70 images"
    [ "$(find xdg/taper -name shapes.tgz | wc -l)" = 1 ]
    XDG_CACHE_HOME='' HOME=$PWD/home get "$(url ok shapes.tgz)" --to b; succeeds "70 images"
    [ "$(find home/.cache/taper -name shapes.tgz | wc -l)" = 1 ]
    touch file
    TAPER_HOME=$PWD/file get "$(url ok shapes.tgz)" --to c; fails 1 "cannot make the folder $PWD/file"
}

@test "get: a server that breaks off is asked for the rest" {
    get "$(url breaks-100000 shapes.tgz)"
    succeeds "broke off at 100,000 of 283,076 bytes; trying again"
    succeeds "sha256 $SUM"
    [ "$(requests)" = "breaks-100000 shapes.tgz?$BATS_TEST_NUMBER - -
breaks-100000 shapes.tgz?$BATS_TEST_NUMBER bytes=100000- \"v1\"
breaks-100000 shapes.tgz?$BATS_TEST_NUMBER bytes=200000- \"v1\"" ]
    get "$(url date-150000 shapes.tgz)" --to dated
    succeeds "sha256 $SUM"
    requests | grep -qF "bytes=150000- Mon, 01 Oct 2018 00:00:00 GMT"
}

@test "get: the next run goes on where this one stopped" {
    get "$(url breaks-50000 shapes.tgz)" --tries 2
    fails 1 "broke off at 100,000 of 283,076 bytes (2 tries; what came is kept"
    [ "$(cached .part)" = 1 ]
    [ ! -e shapes ]
    get "$(url breaks-50000 shapes.tgz)" --tries 9; succeeds "sha256 $SUM"
    [ "$(requests | sed -n 3p)" = "breaks-50000 shapes.tgz?$BATS_TEST_NUMBER bytes=100000- \"v1\"" ]
    [ "$(cached '*')" = 1 ]
}

@test "get: a part file without a validator is not trusted by the next run" {
    get "$(url weak-50000 shapes.tgz)" --tries 1; fails 1 "broke off"
    get "$(url weak-50000 shapes.tgz)"; succeeds "sha256 $SUM"
    [ "$(requests | sed -n 2p)" = "weak-50000 shapes.tgz?$BATS_TEST_NUMBER - -" ]
    get "$(url bare-50000 shapes.tgz)" --tries 1 --to b --sha256 "$SUM"; fails 1 "broke off"
    get "$(url bare-50000 shapes.tgz)" --to b --sha256 "$SUM"; succeeds "70 images"
    [ "$(requests | sed -n 4p)" = "bare-50000 shapes.tgz?$BATS_TEST_NUMBER bytes=50000- -" ]
}

@test "get: servers that cannot resume, or resume wrongly, begin again" {
    get "$(url plain-100000 shapes.tgz)"; succeeds "the server begins again at the first byte"
    succeeds "sha256 $SUM"
    get "$(url shifted-100000 shapes.tgz)" --to b; succeeds "answers with another part of the file"
    succeeds "sha256 $SUM"
    get "$(url changed-100000 shapes.tgz)" --to c; succeeds "the server begins again at the first byte"
    succeeds "sha256 $SUM"
    get "$(url mixed-100000 shapes.tgz)" --to d; succeeds "changed while it was fetched; beginning again"
    succeeds "sha256 $SUM"
    get "$(url long shapes.tgz)" --to e; succeeds "sha256 $SUM" # all is there: the server says 416
}

@test "get: a server in trouble is asked again, a few times" {
    get "$(url flaky-2 shapes.tgz)"; succeeds "(the server says 500); trying again"
    succeeds "sha256 $SUM"
    get "$(url flaky-9 shapes.tgz)" --to b --tries 3; fails 1 "the server says 500" "(3 tries)"
    [ "$(requests | grep -c flaky-9)" = 3 ]
    get "$(url busy shapes.tgz)" --to c; succeeds "trying again in 1 s" # as the server asked
    [ "$(cached '*')" = 2 ]
    [ "$(ls -A | xargs)" = "c shapes" ]
}

@test "get: a stalled transfer is broken off and resumed" {
    get "$(url stall-1 shapes.tgz)" --tries 1
    fails 1 "stalled at 1,000 bytes (next to nothing came for 1 s)" "(1 try; what came is kept"
    [ ! -e shapes ]
    get "$(url stall-1 shapes.tgz)"; succeeds "going on at 1.0 kB"
    requests | grep -qF 'bytes=1000- "v1"'
}

@test "get: a lying server gets one clear line and leaves nothing" {
    lies() { # mode reason
        for more in "" "--sha256 $SUM"; do
            # shellcheck disable=SC2086
            get "$(url "$1" shapes.tgz)" $more
            fails 1 "$WEB/$1/shapes.tgz" "$2"
            [ "$(cached '*')" = 0 ]
            [ -z "$(ls -A)" ]
        done
    }
    lies 404 "is not there (the server says 404)"
    lies 403 "is refused (the server says 403)"
    lies html "answers with a web page (text/html)"
    lies page "is a web page, not a data set; it was thrown away"
    lies empty "is empty"
    lies short "thrown away"
    lies wrong "thrown away"
    lies loop "is redirected without an end"
    lies local "is refused"
    lies ftp "is refused"
    get "$(url more shapes.tgz)" --sha256 "$SUM"; fails 1 "has the sha256"
    [ "$(cached '*')" = 0 ]
    get "http://127.0.0.1:1/x.tgz"; fails 1 "cannot be reached"
    get "http://no-such-host.invalid/x.tgz"; fails 1 "cannot be reached"
    get "$WEB/ok/"; fails 1 "is not there"
    [ "$(cached '*')" = 0 ]
}

@test "get: an evil archive from a server is thrown away" {
    get "$(url ok dotdot.tgz)"
    fails 1 "ok/dotdot.tgz" "the entry 'shapes/../../evil.txt' leads out of the folder" "thrown away"
    [ "$(cached '*')" = 0 ]
    [ -z "$(ls -A)" ]
}

# ---- signals, other runs, the terminal ----

@test "get: a signal keeps what came and cleans up the rest" {
    taper-get --timeout 20 "$(url stall shapes.tgz)" >../out 2>../err 3>&- &
    pid=$!
    for _ in $(seq 100); do
        [ "$(find "$TAPER_HOME" -name '*.part' -size +0 2>/dev/null | wc -l)" = 1 ] && break
        sleep 0.1
    done
    kill -TERM $pid # INT does the same, but a shell's background jobs ignore it
    status=0; wait $pid || status=$?
    fails 1 "was stopped by a signal; what came is kept"
    [ "$(cached .part)" = 1 ]
    [ "$(cached .lock)" = 0 ]
    [ -z "$(ls -A)" ]
}

@test "get: two runs at once fetch once and agree" {
    taper-get "$(url slow shapes.tgz)" >../first 2>&1 3>&- &
    pid=$!
    for _ in $(seq 100); do
        [ "$(find "$TAPER_HOME" -name '*.lock' 2>/dev/null | wc -l)" = 1 ] && break
        sleep 0.05
    done
    get "$(url slow shapes.tgz)"
    wait $pid
    succeeds "another taper get is at work"
    succeeds "70 images"
    [ "$(requests | wc -l)" = 1 ]
    [ "$(cached '*')" = 1 ]
    only "cache/$(ls ../cache)" here/shapes
}

@test "get: on a terminal one line shows the progress and goes away" {
    need_command python3
    python3 -c 'import pty; pty.openpty()' 2>/dev/null || lacks "a pseudo-terminal (/dev/pts)"
    python3 -c 'import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)' \
        taper-get "$(url slow shapes.tgz)" >../out
    grep -q "shapes.tgz   *[0-9]* %  .* kB of 283 kB  .* kB/s  [0-9]* s left" ../out
    grep -q "$(printf '\r\033\\[Kshapes.tgz: 283 kB in')" ../out
    get "$(url slow shapes.tgz)" --refresh # in a pipe
    ! grep -q "$(printf '[\r\033%%]')" ../out
}

@test "get: --json is one object a line with stable keys" {
    get "$(url breaks-100000 shapes.tgz)" --json
    [ "$status" = 0 ]
    python3 - ../out "$SUM" <<'END'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
assert all(set(o) == {"event", "text"} and o["event"] == "note" for o in lines[:-1]), lines
done = lines[-1]
assert list(done) == ["event", "name", "dir", "archive", "sha256", "already", "files", "bytes",
                      "images", "classes", "train", "valid", "test", "next"], done
assert done["event"] == "done" and done["name"] == done["dir"] == "shapes"
assert done["sha256"] == sys.argv[2] and done["already"] is False
assert (done["files"], done["images"], done["classes"]) == (71, 70, 2)
assert (done["train"], done["valid"], done["test"]) == (50, 20, 0)
assert done["next"] == "taper train shapes"
END
    get "$SRV/pax.tgz" --json --to $'odd \377"\\\n'
    [ "$status" = 0 ]
    tail -n 1 ../out | python3 -c 'import json, sys; o = json.loads(sys.stdin.buffer.read().decode())
assert o["dir"] == "odd \ufffd\"\\\n" and o["lacks"] == "images" and "next" not in o, o'
}
