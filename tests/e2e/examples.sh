#!/bin/sh
# Every example: checked, built, trained for a few steps as an executable and by JIT, with the same digest.
. "$(dirname "$0")/lib.sh"

# Where the data of a data section is, or nothing: mnist as it is, cifar-10 unpacked from .xz.
place_of() {
    case $1 in
    mnist) [ -e "$data/mnist/train-images-idx3-ubyte.gz" ] && echo "$data/mnist" ;;
    cifar10)
        if [ -e "$data/cifar-10/data_batch_1.bin" ]; then
            echo "$data/cifar-10"
        elif [ -e "$data/cifar-10/data_batch_1.bin.xz" ] && command -v xz >/dev/null 2>&1; then
            if [ ! -e "$tmp/cifar" ]; then
                mkdir "$tmp/cifar"
                for f in "$data"/cifar-10/*.bin.xz; do
                    xz -dc "$f" >"$tmp/cifar/$(basename "$f" .xz)" || return
                done
            fi
            echo "$tmp/cifar"
        fi
        ;;
    esac
}

for file in "$source"/examples/*.znet; do
    name=$(basename "$file" .znet)
    expect "$name: check" 0 "^total: " "$znetc" check "$file"
    kind=$(sed -n 's/.*[ {]source *= *\([a-z0-9]*\)(.*/\1/p' "$file")
    case $kind in
    digits | noise) where= ;;
    mnist | cifar10)
        where=$(place_of "$kind")
        if [ -z "$where" ]; then
            skip "$name: training ($kind data is not there)"
            expect "$name: build" 0 "" "$znetc" "$file" -o "$tmp/train"
            continue
        fi
        where="--data $where"
        ;;
    *)
        checks=$((checks + 1))
        fail "$name: data of an unknown kind: $kind"
        continue
        ;;
    esac
    expect "$name: build" 0 "" "$znetc" "$file" -o "$tmp/train"
    case $name in
    resnet18 | resnet50 | resnet110_pre | wide_resnet16) # a step takes long: without the test split, and fewer images in a batch
        aot=$(digest "$znetc" run "$file" --set train.batch=4 --set 'data.source=noise(32, 32, 3, 10, 40)' -- --steps 2 --threads 2)
        [ "$name" != resnet50 ] ||
            aot=$(digest "$znetc" run "$file" --set train.batch=4 -D size=32 --set 'data.source=noise(32, 32, 3, 10, 40)' -- --steps 2 --threads 2)
        equal "$name: a digest" 64 ${#aot}
        ;;
    cifar94) # the network as it is was built above
        narrow="-D width=8 --set train.batch=60 --set data.source=noise(32,32,3,10,120)"
        # shellcheck disable=SC2086 # options
        expect "$name: build, narrow" 0 "" "$znetc" "$file" $narrow -o "$tmp/train"
        aot=$(digest "$tmp/train" --steps 3 --threads 2)
        # shellcheck disable=SC2086
        jit=$(digest "$znetc" run "$file" $narrow -- --steps 3 --threads 1)
        equal "$name: a digest" 64 ${#aot}
        equal "$name: JIT and executable" "$aot" "$jit"
        # shellcheck disable=SC2086
        differ "$name: the record's start" "$aot" "$(digest "$znetc" run "$file" $narrow -D start=record -- --steps 3)"
        ;;
    *)
        # shellcheck disable=SC2086 # options
        aot=$(digest "$tmp/train" --steps 3 --threads 2 $where)
        # shellcheck disable=SC2086
        jit=$(digest "$znetc" run "$file" -- --steps 3 --threads 1 $where)
        equal "$name: a digest" 64 ${#aot}
        equal "$name: JIT and executable" "$aot" "$jit"
        ;;
    esac
done

# learning works at all: a start from zeros and ones and a random one, on data that is built in
for init in zero kaiming; do
    "$znetc" run "$source/examples/digits.znet" --init $init -- --steps 150 --progress none >"$tmp/out" 2>&1
    accuracy=$(sed -n 's/^test accuracy *\([0-9]*\).*/\1/p' "$tmp/out")
    checks=$((checks + 1))
    [ "${accuracy:-0}" -ge 50 ] || fail "digits from $init: after 150 steps $accuracy % of the test images, expected at least 50"
done
finish
