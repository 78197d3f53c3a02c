#!/bin/sh
# One digest over threads, JIT and executable, straight and resumed, levels of optimisation and processors; others for
# another experiment.
. "$(dirname "$0")/lib.sh"

# matrix NAME FILE ARGS...: every combination gives the digest of the first.
matrix() {
    name=$1 file=$2
    shift 2
    first=
    begun=
    for level in 0 2; do
        "$znetc" "$file" -O$level "$@" -o "$tmp/train" 2>"$tmp/err" || { fail "$name: does not compile"; cat "$tmp/err"; }
        for threads in 1 2 3; do
            aot=$(digest "$tmp/train" --threads $threads)
            [ -n "$first" ] || first=$aot begun=$(start_digest)
            equal "$name, -O$level, $threads threads, executable: start" "$begun" "$(start_digest)"
            jit=$(digest "$znetc" run "$file" -O$level "$@" -- --threads $threads)
            equal "$name, -O$level, $threads threads, JIT: start" "$begun" "$(start_digest)"
            equal "$name, -O$level, $threads threads, executable" "$first" "$aot"
            equal "$name, -O$level, $threads threads, JIT" "$first" "$jit"
            # begun by one, ended by the other, with another number of threads
            rm -rf "$tmp/aot" "$tmp/jit"
            "$tmp/train" --threads $threads --steps 3 --out "$tmp/aot" >/dev/null 2>&1
            "$znetc" run "$file" -O$level "$@" -- --threads $threads --steps 4 --out "$tmp/jit" >/dev/null 2>&1
            jit=$(digest "$znetc" run "$file" -O$level "$@" -- --threads $((threads % 3 + 1)) --out "$tmp/aot" --resume)
            equal "$name, -O$level, $threads threads, executable, resumed by JIT" "$first" "$jit"
            equal "$name, -O$level, $threads threads, resumed by JIT: start" "$begun" "$(start_digest)"
            aot=$(digest "$tmp/train" --threads $((threads % 3 + 1)) --out "$tmp/jit" --resume)
            equal "$name, -O$level, $threads threads, JIT, resumed by executable" "$first" "$aot"
        done
    done
    equal "$name: length of a digest" 64 ${#first}
    equal "$name: length of the digest of the start" 64 ${#begun}
}

file=$source/tests/e2e/digest.znet
matrix convolutions "$file"
base=$first
equal "the digest of the start is that of the weights after no step" "$begun" "$(digest "$znetc" run "$file" -- --steps 0)"
for march in x86-64-v3 x86-64-v4; do
    if "$znetc" run "$file" --march=$march -- --steps 1 >/dev/null 2>&1; then
        equal "--march=$march" "$base" "$(digest "$znetc" run "$file" --march=$march -- --threads 2)"
    else
        skip "--march=$march: not for this processor"
    fi
done
equal "-O1" "$base" "$(digest "$znetc" run "$file" -O1)"
equal "--gemm=generated" "$base" "$(digest "$znetc" run "$file" --gemm=generated)"

# the file's bytes are what is hashed, and both forms write the same
"$znetc" run "$file" -- --threads 2 --out "$tmp/jit" >/dev/null 2>&1
"$znetc" "$file" -o "$tmp/train" && "$tmp/train" --threads 1 --out "$tmp/aot" >/dev/null 2>&1
equal "sha256sum of the weights" "$base" "$(sha256sum <"$tmp/jit/weights.safetensors" | cut -d' ' -f1)"
checks=$((checks + 1))
cmp -s "$tmp/jit/weights.safetensors" "$tmp/aot/weights.safetensors" || fail "weights of JIT and executable differ"

equal "training on" "$base" "$(digest "$znetc" run "$file" -- --steps 1 --init-from "$tmp/jit/weights.safetensors" >/dev/null; start_digest)"

# another experiment
seed=$(digest "$znetc" run "$file" -- --seed 2)
differ "another seed" "$base" "$seed"
equal "--seed 2 and --set train.seed=2" "$seed" "$(digest "$znetc" run "$file" --set train.seed=2)"
differ "another learning rate" "$base" "$(digest "$znetc" run "$file" --set 'train.lr=cosine(0.0501, warmup = 1)')"
differ "another start" "$base" "$(digest "$znetc" run "$file" --init kaiming)"
differ "without augmentation" "$base" "$(digest "$znetc" run "$file" --set 'data.augment=[flip]')"
differ "other data" "$base" "$(digest "$znetc" run "$file" --set 'data.source=noise(10, 9, 3, 5, 90, seed = 2)')"
longer=$(digest "$znetc" run "$file" -- --epochs 4)
differ "another number of epochs" "$base" "$longer"
equal "--epochs 4 and --set train.epochs=4" "$longer" "$(digest "$znetc" run "$file" --set train.epochs=4)"
differ "fewer steps" "$base" "$(digest "$znetc" run "$file" -- --steps 3)"
equal "all steps" "$base" "$(digest "$znetc" run "$file" -- --steps 1000)"

# a rule for everything is the scheme itself; an option takes the place of rules
plain=$(digest "$znetc" run "$file" --set init=kaiming --set train.decay=0.01)
{ cat "$file" && echo 'init { ** = kaiming }'; } >"$tmp/rules.znet"
equal "init { ** = kaiming }" "$plain" "$(digest "$znetc" run "$tmp/rules.znet" --set train.decay=0.01)"
recipe=$source/tests/e2e/recipe.znet
without=$(sed -e 's/^  decay .*/  decay = 0.25/' "$recipe" >"$tmp/decay.znet"; digest "$znetc" run "$tmp/decay.znet")
equal "--set train.decay over rules" "$without" "$(digest "$znetc" run "$recipe" --set train.decay=0.25)"

# everything that a recipe may ask for
matrix recipe "$source/tests/e2e/recipe.znet"
matrix "starts that look at data" "$source/tests/e2e/calibrated.znet"
matrix "values and shortcuts" "$source/tests/numeric/nets/values.znet"

# Winograd convolutions: an order of their own, and the same guarantees
for net in wino wino_deep wino_odd; do
    matrix "winograd, $net" "$source/tests/numeric/nets/$net.znet"
    winograd=$first
    equal "--march=x86-64-v3 with Winograd, $net" "$winograd" "$(digest "$znetc" run "$source/tests/numeric/nets/$net.znet" --march=x86-64-v3)"
    differ "direct convolutions, $net" "$winograd" "$(digest "$znetc" run "$source/tests/numeric/nets/$net.znet" --conv=direct)"
done

# products by OpenBLAS: the same guarantees, for any number of threads
matrix openblas "$source/tests/numeric/nets/mlp.znet" --gemm=openblas
finish
