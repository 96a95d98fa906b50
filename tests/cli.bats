# The program taper from outside: what it says, its JSON, its exit codes, and what bad input gets.
load support

setup_file() {
    export IMAGES=$BATS_FILE_TMPDIR/images MODEL=$BATS_FILE_TMPDIR/images.safetensors
    python3 "$TAPER_SOURCE_DIR/tests/make_images.py" "$IMAGES"
    taper train "$IMAGES" --epochs 15 --bs 8 -o "$MODEL" >"$BATS_FILE_TMPDIR/log"
}

setup() {
    mkdir "$BATS_TEST_TMPDIR/here"
    cd "$BATS_TEST_TMPDIR/here"
    cp -r "$IMAGES" mine
}

fails_with() { # exit code, the one line
    echo "$status: $output"
    [ "$status" = "$1" ]
    [ "${#lines[@]}" = 1 ]
    [[ "$output" == $2 ]]
}

# field NAME: of the last line of $output, which is JSON
field() { printf '%s\n' "$output" | tail -n 1 | python3 -c "import json, sys; print(json.load(sys.stdin)$1)"; }

make_bad() { python3 "$TAPER_SOURCE_DIR/tests/make_images.py" "$1" bad; }

# ---- usage ---------------------------------------------------------------------------------------------

@test "alone it lists its commands" {
    run taper
    [ "$status" = 0 ]
    [[ "$output" == *"The main job: taper train DIR"* ]]
}

@test "a command with nothing behind it prints its options, each with its default" {
    for verb in train baseline evaluate predict info; do
        run taper $verb
        [ "$status" = 0 ]
        [[ "$output" == *"usage: taper $verb"* && "$output" == *"--json"* ]]
        run taper $verb --help
        [ "$status" = 0 ]
    done
    run taper train
    for option in --model --loss --metric --epochs --lr --bs --momentum --wd --seed --no-shuffle --init --threads --limit -o; do
        [[ "$output" == *"  $option"* ]]
    done
    golden help_train.txt
}

@test "help fits into 80 columns, and into those of a narrow terminal" {
    for verb in '' get baseline train evaluate predict info; do
        # shellcheck disable=SC2086 # $verb may be nothing
        run taper $verb --help
        printf '%s\n' "$output" | awk 'length > 80 { print; bad = 1 } END { exit bad }'
    done
    cat >narrow.py <<'PY'
import fcntl, os, pty, struct, sys, termios
child, terminal = pty.fork()
if not child:
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 40, 0, 0))
    os.execvp("taper", ["taper"] + sys.argv[1:])
text = b""
try:
    while piece := os.read(terminal, 4096):
        text += piece
except OSError:  # how a terminal ends
    pass
lines = text.decode().split("\r\n")
print(*lines, sep="\n")
sys.exit(len(lines) < 5 or max(map(len, lines)) > 40)
PY
    for verb in '' baseline train evaluate predict info; do
        # shellcheck disable=SC2086
        python3 narrow.py $verb --help
    done
}

@test "a place where no model can be written is found before the first epoch" {
    run taper train mine -o absent/m.safetensors
    fails_with 1 "taper train: cannot write absent/m.safetensors.checkpoint: No such file or directory"
    run taper train mine --epochs 1 -o m.safetensors
    [ "$status" = 0 ]
    [ ! -e m.safetensors.checkpoint ]
}

@test "words and options that do not exist are named, with the nearest that does" {
    run taper trian mine
    fails_with 2 "taper: there is no command 'trian'; did you mean 'train'?"
    run taper train mine --epoch 3
    fails_with 2 "taper train: unknown option '--epoch'; did you mean '--epochs'?"
    run taper train mine --epochs
    fails_with 2 "taper train: --epochs wants a value: --epochs N"
    run taper train mine other
    fails_with 2 "taper train: 'other' is one too many: taper train DIR"
    run taper evaluate "$MODEL"
    fails_with 2 "taper evaluate: something is missing: taper evaluate MODEL DIR"
}

@test "values out of range are named with the range" {
    run taper train mine --epochs 0
    fails_with 2 "taper train: --epochs: 0 is out of range; it may be 1 to 1000000"
    run taper train mine --epochs 1.5
    fails_with 2 "taper train: --epochs: '1.5' is not a whole number"
    run taper train mine --lr fast
    fails_with 2 "taper train: --lr: 'fast' is not a number"
    run taper train mine --lr nan
    fails_with 2 "taper train: --lr: 'nan' is not a number"
    run taper train mine --threads 5000
    fails_with 2 "taper train: --threads: 5000 is out of range; it may be 1 to 1024"
    run taper train mine --loss mse
    fails_with 2 "taper train: --loss: 'mse' is not one of cross_entropy|mnist|bce"
    run taper train mine --model mlp:12,x
    fails_with 2 "taper train: --model: 'mlp:12,x' wants one to eight sizes*"
    run taper train mine --metric batch_accuracy
    fails_with 1 "taper train: --metric batch_accuracy does not go with --loss cross_entropy (use accuracy)"
    [ ! -e mine.safetensors ]
}

# ---- the main job -----------------------------------------------------------------------------------------

@test "train says what it found and chose, and how to go on" {
    run cat "$BATS_FILE_TMPDIR/log"
    [[ "$output" == *"classes      2: dark (24), light (24)"* ]]
    [[ "$output" == *"images       48 to train on, 16 to validate; 12 x 12 grey"* ]]
    [[ "$output" == *"epoch     train_loss  valid_loss  accuracy  time"* ]]
    [[ "$output" == *"next         taper predict $MODEL IMAGE..."* ]]
}

@test "train --json: a line per epoch and one for the model" {
    run taper train mine --epochs 2 --json
    [ "$status" = 0 ]
    [ "${#lines[@]}" = 3 ]
    for key in epoch train_loss valid_loss accuracy seconds; do
        printf '%s\n' "${lines[1]}" | python3 -c "import json, sys; json.load(sys.stdin)['$key']"
    done
    [ "$(field "['model']")" = mine.safetensors ]
    [ "$(field "['weights_sha256']" | wc -c)" = 65 ]
}

@test "the same seed gives the same weights, with any number of threads; another seed gives others" {
    sha() { taper train mine --epochs 2 --bs 8 -o m.safetensors --json "$@" | tail -n 1 | grep -o '"weights_sha256":"[0-9a-f]*"'; }
    one=$(sha --threads 1)
    [ "$one" = "$(sha --threads 3)" ]
    [ "$one" = "$(TAPER_THREADS=8 sha)" ]
    [ "$one" != "$(sha --seed 43)" ]
}

@test "an older model is not overwritten unless it is named" {
    taper train mine --epochs 1 >/dev/null
    first=$(sha256sum mine.safetensors)
    run taper train mine --epochs 1 --seed 7
    [[ "$output" == *"saved        mine-2.safetensors"* ]]
    [ "$first" = "$(sha256sum mine.safetensors)" ]
}

@test "Ctrl-C saves, and --resume goes on to the same bits as a run that was left alone" {
    whole=$(taper train mine --epochs 60 --bs 4 --json -o whole.safetensors | tail -n 1 | grep -o '"weights_sha256":"[0-9a-f]*"')
    for try in 1 2 3 4 5; do # a run may be over before the system lets us stop it
        taper train mine --epochs 60 --bs 4 --json -o part.safetensors >out &
        for _ in $(seq 200); do [ "$(wc -l <out)" -ge 3 ] && break; sleep 0.01; done
        kill -INT $! 2>/dev/null || true
        wait $! || true
        ! grep -q '"finished":true' out || continue
        break
    done
    tail -n 1 out | grep '"finished":false'
    [ -e part.safetensors ] && [ -e part.safetensors.checkpoint ]
    cp part.safetensors.checkpoint kept.checkpoint
    run taper train mine --json --resume part.safetensors.checkpoint # its options are in there
    [ "$status" = 0 ]
    [ "$whole" = "\"weights_sha256\":\"$(field "['weights_sha256']")\"" ]
    [ ! -e part.safetensors.checkpoint ]

    run taper train mine --resume kept.checkpoint --bs 4 --epochs 60 --threads 1 -o again.safetensors
    [ "$status" = 0 ]
    run taper train mine --resume kept.checkpoint --lr 0.5
    [ "$status" = 1 ]
    [ "$output" = "taper train: kept.checkpoint: it was made with --lr 0.002, not 0.5; leave that out" ]
    run taper train mine --resume kept.checkpoint --limit 5
    [ "$output" = "taper train: kept.checkpoint: it was made without --limit 5; leave that out" ]
    run taper train mine --resume kept.checkpoint --no-shuffle
    [ "$output" = "taper train: kept.checkpoint: it was made without --no-shuffle; leave that out" ]
    run taper train mine --resume "$MODEL"
    [ "$status" = 1 ]
    [ "$output" = "taper train: $MODEL: not a checkpoint of a learner" ]
    run taper train mine --resume nowhere.checkpoint
    [ "$output" = "taper train: cannot read nowhere.checkpoint: No such file or directory" ]
    cp -r mine other
    rm other/train/dark/1.png
    run taper train other --resume kept.checkpoint
    [ "$status" = 1 ]
    [[ "$output" == *"kept.checkpoint: it was made with other images than other now holds" ]]
    sed 's/taper.option.opt":"adam"/taper.option.opt":"evil"/' kept.checkpoint >evil.checkpoint
    run taper train mine --resume evil.checkpoint
    [ "$output" = "taper train: evil.checkpoint: its --opt is 'evil'" ]
}

@test "evaluate, predict and info need no option" {
    run taper evaluate "$MODEL" mine --json
    [ "$status" = 0 ]
    [ "$(field "['total']")" = 16 ]
    [ "$(field "['correct'] / 16 == _['accuracy']" 2>/dev/null || field "['accuracy']")" != "" ]
    field "['loss']"
    run taper predict "$MODEL" mine/valid/dark/0.png mine/valid/light/0.png --json
    [ "$status" = 0 ]
    [ "${#lines[@]}" = 2 ]
    [ "$(field "['class']")" = light ]
    [ "$(field "['path']")" = mine/valid/light/0.png ]
    field "['probability']"
    field "['probabilities']['dark']"
    run taper info "$MODEL" --json
    [ "$(field "['architecture']")" = "linear(144,512) relu linear(512,2)" ]
    [ "$(field "['classes']")" = "['dark', 'light']" ]
}

@test "predict - reads paths from standard input" {
    run bash -c "ls mine/valid/dark/*.png | taper predict '$MODEL' -"
    [ "$status" = 0 ]
    [ "${#lines[@]}" = 8 ]
}

@test "predict converts an image of another size or in colour, and says so" {
    python3 "$TAPER_SOURCE_DIR/tests/make_images.py" odd odd
    run taper predict "$MODEL" odd/one.png odd/rgba.png
    [ "$status" = 0 ]
    [[ "${lines[0]}" == *"resized"* ]]
    [[ "${lines[1]}" == *"grey"* ]]
}

@test "large images are scaled down, --size sets the limit, and predict does the same" {
    PYTHONPATH="$TAPER_SOURCE_DIR/tests" python3 - <<'PY'
import os, make_images
for name, level in (("dark", 30), ("light", 190)):
    os.makedirs("large/" + name)
    for i in range(5):
        open(f"large/{name}/{i}.png", "wb").write(make_images.grey(200, 100, lambda x, y: level + (x + y + i) % 50))
PY
    run taper train large --epochs 1 -o large.safetensors
    [ "$status" = 0 ]
    [[ "$output" == *"64 x 32 grey"*"--size N"*"resized to 64 x 32 pixels: 10 of 10 images"* ]]
    [[ "$output" != *stretched* ]]
    run taper predict large.safetensors large/dark/0.png
    [ "$status" = 0 ]
    [[ "$output" == *"resized"* ]]
    run taper train large --epochs 1 --size 20 -o small.safetensors
    [[ "$output" == *"20 x 10 grey"* && "$output" != *"--size N"* ]]
    run taper train large --epochs 1 --size 200 -o whole.safetensors
    [[ "$output" == *"200 x 100 grey"* && "$output" != *"resized"* ]]
}

@test "odd images load: 1 x 1, 16 bit, palette, RGBA, interlaced" {
    python3 "$TAPER_SOURCE_DIR/tests/make_images.py" mine/train/dark odd
    run taper train mine --epochs 1 --strict
    [ "$status" = 0 ]
    [[ "$output" == *"dark (29)"* ]]
}

@test "baseline: counts per class and the mean" {
    run taper baseline mine --json
    [ "$status" = 0 ]
    [ "$(field "['correct']")" = "[8, 8]" ]
    [ "$(field "['mean_accuracy']")" = 1.0 ]
    run taper baseline mine --distance rmse
    [ "$status" = 0 ]
}

@test "--limit takes as many of each class" {
    run taper train mine --epochs 1 --limit 10
    [[ "$output" == *"dark (5), light (5)"* ]]
}

@test "a folder of classes without parts is split with a seed, and it is said" {
    mkdir flat && cp -r mine/train/* flat
    run taper train flat --epochs 1
    [ "$status" = 0 ]
    [[ "$output" == *"seed"* ]]
}

# ---- bad input -------------------------------------------------------------------------------------------------

@test "directories that are missing, empty, a file, unreadable, of one class" {
    run taper train nowhere
    fails_with 1 "taper train: *nowhere*"
    mkdir empty
    run taper train empty
    fails_with 1 "taper train: *empty*"
    run taper train mine/train/dark/0.png
    fails_with 1 "taper train: *0.png*"
    mkdir -p one/train/only one/valid/only
    cp mine/train/dark/*.png one/train/only
    cp mine/valid/dark/*.png one/valid/only
    run taper train one
    fails_with 1 "taper train: *one*class*"
    if [ "$(id -u)" != 0 ]; then
        chmod 0 mine/train/dark
        run taper train mine
        fails_with 1 "taper train: *mine/train/dark*"
    fi
}

@test "bad images are named and skipped, or refused with --strict" {
    make_bad mine/train/light
    run taper train mine --epochs 1
    [ "$status" = 0 ]
    for name in text cut empty; do [[ "$output" == *"$name.png"* ]]; done
    rm -f mine*.safetensors
    run taper train mine --epochs 1 --strict
    fails_with 1 "taper train: *.png: *"
    [ -z "$(ls ./*.safetensors* 2>/dev/null)" ]
}

@test "a bad image in predict is named, and the others are still answered" {
    make_bad bad
    run taper predict "$MODEL" bad/text.png mine/valid/dark/0.png bad/cut.png nowhere.png
    [ "$status" = 1 ]
    [ "${#lines[@]}" = 4 ]
    [[ "$output" == *"bad/text.png"* && "$output" == *"bad/cut.png"* && "$output" == *"nowhere.png"* ]]
    [[ "$output" == *"mine/valid/dark/0.png: dark"* ]]
}

@test "a class folder whose name is not UTF-8 is refused" {
    mkdir "mine/train/$(printf 'caf\351')"
    cp mine/train/dark/0.png mine/train/caf*/
    run taper train mine
    fails_with 1 'taper train: *caf\\xe9*UTF-8*'
}

@test "a class that training does not know is refused" {
    mkdir mine/valid/odd && cp mine/valid/dark/0.png mine/valid/odd
    run taper train mine
    fails_with 1 "taper train: *odd*"
    run taper evaluate "$MODEL" mine
    fails_with 1 "taper evaluate: *odd*"
}

@test "IDX files that are cut or lie" {
    mkdir idx
    python3 - <<'PY'
import struct
def images(n, h, w, data): return struct.pack(">IIII", 0x803, n, h, w) + data
def labels(n, data): return struct.pack(">II", 0x801, n) + data
import os
pix = bytes(range(256)) * 100
open("idx/train-images-idx3-ubyte", "wb").write(images(40, 8, 8, pix[:40 * 64]))
open("idx/train-labels-idx1-ubyte", "wb").write(labels(40, bytes(i % 2 for i in range(40))))
open("idx/t10k-images-idx3-ubyte", "wb").write(images(10, 8, 8, pix[:640]))
open("idx/t10k-labels-idx1-ubyte", "wb").write(labels(10, bytes(i % 2 for i in range(10))))
PY
    run taper train idx --epochs 1
    [ "$status" = 0 ]
    cp idx/train-images-idx3-ubyte whole
    head -c 1000 whole >idx/train-images-idx3-ubyte
    run taper train idx
    fails_with 1 "taper train: idx/train-images-idx3-ubyte: *"
    printf '\0\0\10\3\377\377\377\377\377\377\377\377\377\377\377\377' >idx/train-images-idx3-ubyte
    run taper train idx
    fails_with 1 "taper train: idx/train-images-idx3-ubyte: *"
    printf 'not an IDX file at all' >idx/train-images-idx3-ubyte
    run taper train idx
    fails_with 1 "taper train: idx/train-images-idx3-ubyte: *"
}

@test "model files that are empty, cut, flipped, of another kind or shape" {
    : >empty.safetensors
    head -c 300 "$MODEL" >cut.safetensors
    echo '{}' >text.safetensors
    for f in empty cut text; do
        run taper info $f.safetensors
        fails_with 1 "taper info: $f.safetensors: *"
        run taper predict $f.safetensors mine/valid/dark/0.png
        fails_with 1 "taper predict: $f.safetensors: *"
    done
    run taper info nowhere.safetensors
    fails_with 1 "taper info: *nowhere.safetensors*"
    python3 - "$MODEL" <<'PY'
import json, struct, sys
whole = open(sys.argv[1], "rb").read()
n = struct.unpack("<Q", whole[:8])[0]
head, data = json.loads(whole[8:8 + n]), whole[8 + n:]
def write(name, change):
    h = json.loads(json.dumps(head)); change(h)
    text = json.dumps(h).encode()
    open(name, "wb").write(struct.pack("<Q", len(text)) + text + data)
def overlap(h): h["0.bias"]["data_offsets"] = [0, 2048]
def outside(h): h["0.bias"]["data_offsets"] = [len(data), len(data) + 2048]
def other(h): h["__metadata__"]["taper.architecture"] = "linear(144,10) relu linear(10,2)"
def nonsense(h): h["__metadata__"]["taper.architecture"] = "transformer(12)"
def huge(h): h["__metadata__"]["taper.architecture"] = "linear(2000000000,2000000000)"
def bare(h): h["__metadata__"] = {}
for f in (overlap, outside, other, nonsense, huge, bare): write(f.__name__ + ".safetensors", f)
flipped = bytearray(whole); flipped[20] ^= 0xff
open("flipped.safetensors", "wb").write(flipped)
PY
    for f in overlap outside other nonsense huge bare flipped; do
        run taper predict $f.safetensors mine/valid/dark/0.png
        fails_with 1 "taper predict: $f.safetensors: *"
    done
}

@test "a full disk while saving: one line, and nothing half-written" {
    run taper train mine --epochs 1 -o /dev/full
    [ "$status" = 1 ]
    [[ "${lines[-1]}" == "taper train: "*"/dev/full"*"No space left on device"* ]]
    run taper train mine --epochs 1 -o nowhere/m.safetensors
    [ "$status" = 1 ]
    [[ "${lines[-1]}" == "taper train: "*"nowhere"* ]]
    run bash -c "taper info '$MODEL' >/dev/full"
    [ "$status" = 1 ]
}
