#!/bin/sh
# Truth from outside for the language: three steps of four networks, as PyTorch computes them in float64. See
# tests/fixtures/make_torch_nets.py.
. "$(dirname "$0")/lib.sh"
fixtures=$source/tests/fixtures
compare=${4:-$bin/tests/compare_weights}

for net in mobile convnext unet rezero; do
    truth=$fixtures/torch_nets/$net
    against_steps "$net" "$truth" 1 --data "$fixtures/torch_steps" --init-from "$truth/initial.safetensors"
done
finish
