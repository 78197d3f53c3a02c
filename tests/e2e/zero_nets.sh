#!/bin/sh
# The networks of the authors of ZerO, from ordinary descriptions: their start to the bit, and three steps of it, as
# PyTorch computes them in float64 by their rules. See tests/fixtures/make_zero_nets.py.
. "$(dirname "$0")/lib.sh"
fixtures=$source/tests/fixtures
compare=${4:-$bin/tests/compare_weights}

for net in cifar imagenet imagenet_no_norm; do
    against_steps "$net" "$fixtures/zero_nets/$net" 0 --data "$fixtures/torch_steps"
done
finish
