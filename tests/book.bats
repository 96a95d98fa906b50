# The chapter's numbers and the main job on the real data, through the program.
load support

setup_file() {
    for data in "${TAPER_DATA:-}/mnist_sample.tgz" "$TAPER_SOURCE_DIR/../shared/data/mnist_sample.tgz"; do
        [ ! -r "$data" ] || { tar -C "$BATS_FILE_TMPDIR" -xf "$data"; break; }
    done
    export MNIST=$BATS_FILE_TMPDIR/mnist_sample
}
setup() { cd "$BATS_TEST_TMPDIR"; }
need_mnist() { [ -d "$MNIST" ] || lacks mnist_sample.tgz; }
json() { printf '%s\n' "$output" | python3 -c "import json, sys; rows = [json.loads(l) for l in sys.stdin]; $1"; }

@test "pixel similarity: 926 of 1010 and 1013 of 1028, mean 0.951120" {
    need_mnist
    run taper baseline "$MNIST" --json
    json "r = rows[0]; assert r['classes'] == ['3', '7'] and r['correct'] == [926, 1013] and r['total'] == [1010, 1028]
assert abs(r['mean_accuracy'] - 0.951120122) < 5e-9"
    run taper baseline "$MNIST" --distance rmse --json
    json "r = rows[0]; assert r['correct'] == [968, 1001], r"
}

@test "the zero-initialised linear model: counts exact, losses to 5e-6" {
    need_mnist
    run taper train "$MNIST" --model linear --loss mnist --init zero --no-shuffle --bs 256 --lr 1 --epochs 20 --json
    [ "$status" = 0 ]
    json "
want = {0: (.6370762, .5035462, 1010), 1: (.5484314, .1819645, 1737), 2: (.2005565, .1833315, 1700), 3: (.0872957, .1072887, 1858),
        4: (.0456109, .0780946, 1904), 9: (.0174795, .0384380, 1972), 14: (.0153578, .0296714, 1989), 19: (.0143506, .0258117, 1994)}
for e, (t, v, n) in want.items():
    r = rows[e]
    assert abs(r['train_loss'] - t) < 5e-6 and abs(r['valid_loss'] - v) < 5e-6 and round(r['accuracy'] * 2038) == n, r"
}

@test "with no option: 0.985 or better; predict, elsewhere, is right" {
    need_mnist
    run taper train "$MNIST" --json
    [ "$status" = 0 ]
    json "assert rows[-2]['accuracy'] >= 0.985, rows[-2]"
    mkdir elsewhere && cd elsewhere
    run taper predict ../mnist_sample.safetensors "$MNIST/valid/3/1020.png" "$MNIST/valid/7/0.png" --json
    json "assert [r['class'] for r in rows] == ['3', '7']"
    run taper evaluate ../mnist_sample.safetensors "$MNIST" --json
    json "assert rows[0]['total'] == 2038 and rows[0]['accuracy'] >= 0.985"
}

@test "all ten digits with no option: 0.975 or better" {
    need_data mnist
    [ -r "$data/train-images-idx3-ubyte.gz" ] || lacks mnist
    less='' want=0.975
    case $TAPER_BUILD_DIR in # a sanitizer makes this 20 times slower; there it looks at part of the data
    *asan | *tsan) less='--limit 6000 --epochs 2' want=0.85 ;;
    esac
    run taper train "$data" --json -o digits.safetensors $less
    [ "$status" = 0 ]
    json "assert rows[-2]['accuracy'] >= $want, rows[-2]"
}

@test "PyTorch takes the model's tensors with strict=True and predicts the same" {
    need_mnist
    need_python torch
    taper train "$MNIST" --epochs 1 --json -o m.safetensors >/dev/null
    taper predict m.safetensors "$MNIST"/valid/3/10*.png --json >ours
    run "$python" "$TAPER_SOURCE_DIR/tests/parity/predict.py" m.safetensors ours
    echo "$output"
    [ "$status" = 0 ]
}

@test "the same seed gives PyTorch's curve: simple_net, shuffled, five epochs within 1e-6" {
    need_mnist
    # tests/golden/curve_simple_net.txt is what tests/parity/curve.py, plain PyTorch, prints for this
    run taper train "$MNIST" --model simple_net --loss mnist --lr 0.1 --bs 64 --seed 42 --epochs 5 --json
    [ "$status" = 0 ]
    json "
want = [l.split() for l in open('$TAPER_SOURCE_DIR/tests/golden/curve_simple_net.txt') if l.startswith('epoch')]
assert len(want) == 5
for r, w in zip(rows, want): assert abs(r['valid_loss'] - float(w[4])) < 1e-6, (r, w)"
}
