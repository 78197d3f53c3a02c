#!/usr/bin/env python3
"""Layer normalisation over channels, forward and backward, in znet and in PyTorch, in turns: bench/layer_norm.py [THREADS]

znet's time is that of the kernels of the second of two norms (`znetc bench --kernels`): itself, the gradient by x with the
sums for scale and bias. PyTorch's is that of LayerNorm and backward(), best of many. $ZNETC names the compiler."""
import json
import os
import subprocess
import sys
import time

import torch

HERE = os.path.dirname(os.path.abspath(__file__))
SHAPES = [(64, 14, 384), (128, 32, 96), (64, 32, 48), (64, 8, 192), (256, 7, 768)]


def znet(batch, side, channels, threads):
    znetc = os.environ.get("ZNETC", os.path.join(HERE, "..", "build-release", "znetc"))
    done = subprocess.run([znetc, "bench", os.path.join(HERE, "layer_norm.znet"), "--kernels", "--json", "--seconds", "2",
                           "--threads", str(threads)] +
                          sum((["-D", "%s=%d" % d] for d in (
                              ("batch", batch), ("side", side), ("channels", channels))), []),
                          text=True, stdout=subprocess.PIPE, check=True)
    return sum(k["seconds"] / k["calls"] for k in json.loads(done.stdout)["kernels"] if k["op"] in ("ln_norm", "ln_grad_x"))


def pytorch(batch, side, channels):
    x = torch.randn(batch, side, side, channels, requires_grad=True)
    norm, dy, best = torch.nn.LayerNorm(channels), torch.randn(batch, side, side, channels), 1e9
    end = time.perf_counter() + 2
    while time.perf_counter() < end:
        x.grad = None
        begin = time.perf_counter()
        norm(x).backward(dy)
        best = min(best, time.perf_counter() - begin)
    return best


def main():
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    torch.set_num_threads(threads)
    for shape in SHAPES:
        rounds = [(znet(*shape, threads), pytorch(*shape)) for _ in range(3)]
        z, t = (min(side) * 1e3 for side in zip(*rounds))
        print("batch %3d  side %2d  channels %3d  znet %7.2f ms  torch %7.2f ms  ratio %.2f" % (*shape, z, t, t / z))


main()
