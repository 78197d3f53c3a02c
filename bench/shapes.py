#!/usr/bin/env python3
"""Is znet fast on shapes that nobody tuned for? Trains networks in znet and in PyTorch (eager, channels_last), in turns.

  bench/shapes.py                        a fixed list of networks of two convolutions
  bench/shapes.py --seed 7 --count 24    as many drawn at random: the same seed draws the same list
  bench/shapes.py --networks             whole networks: VGG-like with widths that are no powers of two, ResNet-18 at 56x56
                                         and 112x112, the network of the speed record on CIFAR-10, WideResNet-16-4, MobileNet, ConvNeXt
  bench/shapes.py --groups               networks of two convolutions in groups, depthwise ones among them
  bench/shapes.py --batches              znet alone: the record's network, images/s by batch

Both sides train the same layers (the numbers of parameters are compared) with the same batch, in f32, without loading data,
on the same processors; a side's rate is the batch over the median of its steps. A ratio below 1.15 is measured five times
more, in turns, and the median of those counts. Absolute numbers move between machines and hours: only ratios count.

--march x86-64-v3 holds both sides to AVX2. PyTorch is installed as the head of bench/compare.sh says."""
import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
LEAST, REPEATS = 1.15, 5
SHAPE = ("side", "channels", "outputs", "kernel", "stride", "batch")
FIXED = [
    (32, 64, 64, 3, 1, 128), (31, 64, 64, 3, 1, 128), (28, 64, 64, 3, 1, 64), (15, 128, 128, 3, 1, 128),
    (14, 128, 128, 3, 1, 64), (7, 256, 256, 3, 1, 128), (7, 256, 256, 3, 1, 32), (14, 96, 96, 3, 1, 64),
    (28, 48, 48, 3, 1, 64), (28, 100, 100, 3, 1, 32), (32, 24, 24, 3, 1, 128), (16, 64, 64, 5, 1, 64),
    (16, 64, 128, 3, 2, 64), (15, 64, 128, 3, 2, 64), (8, 256, 256, 3, 1, 8), (8, 256, 256, 3, 1, 1024),
    (56, 64, 64, 3, 1, 16), (16, 192, 192, 1, 1, 128), (32, 32, 32, 7, 1, 32), (7, 256, 256, 3, 1, 37),
]
NETWORKS = [
    ("vgg", {"width": 48, "batch": 128}), ("vgg", {"width": 96, "batch": 128}), ("vgg", {"width": 192, "batch": 64}),
    ("resnet18", {"side": 56, "batch": 64}), ("resnet18", {"side": 112, "batch": 32}),
    ("record", {"batch": 128}), ("record", {"batch": 1024}),
    ("wide_resnet", {"batch": 128}),
    ("mobile", {"side": 32, "batch": 128}), ("mobile", {"side": 96, "batch": 32}),
    ("convnext", {"side": 32, "width": 48, "batch": 64}),
]
GROUPS = [dict(zip(("side", "channels", "outputs", "kernel", "stride", "groups", "batch"), shape)) for shape in [
    (32, 64, 64, 3, 1, 64, 128), (32, 64, 64, 3, 2, 64, 128), (56, 24, 24, 3, 1, 24, 64), (16, 128, 128, 3, 1, 128, 128),
    (14, 384, 384, 7, 1, 384, 32), (7, 512, 512, 3, 1, 512, 64), (28, 96, 96, 5, 1, 96, 32), (14, 100, 100, 3, 1, 100, 64),
    (14, 256, 256, 3, 1, 64, 64), (28, 128, 128, 3, 1, 32, 32), (14, 256, 256, 3, 1, 16, 64), (28, 128, 128, 3, 1, 4, 32),
    (16, 64, 64, 3, 1, 2, 128),
]]
BATCHES = [1, 2, 4, 8, 16, 32, 37, 64, 100, 128, 256, 512, 1024]


def drawn(seed, count):
    """Shapes of a cost that is worth measuring and that fits into memory."""
    chance, shapes = random.Random(seed), []
    while len(shapes) < count:
        side = chance.choice([3, 5, 7, 9, 10, 12, 13, 14, 15, 17, 20, 24, 28, 30, 31, 36, 40, 56])
        channels = chance.choice([8, 16, 20, 24, 36, 40, 48, 64, 80, 96, 100, 128, 144, 192, 256])
        outputs = channels * chance.choice([1, 1, 2])
        kernel, stride = chance.choice([3, 3, 3, 3, 1, 5]), chance.choice([1, 1, 1, 2])
        batch = chance.choice([1, 4, 16, 32, 37, 50, 64, 100, 128, 256])
        work = batch * (side * kernel) ** 2 * channels * (channels + outputs / stride ** 2)
        if 2e8 < work < 2e10 and batch * side ** 2 * outputs < 3e7:
            shapes.append((side, channels, outputs, kernel, stride, batch))
    return shapes


class Znet:
    def __init__(self, znetc, threads, cpus, march):
        self.znetc, self.cpus = znetc, cpus
        self.options = ["--threads", str(threads), "--json"] + (["--march", march] if march else [])

    def run(self, command, net, params, options):
        arguments = [self.znetc, command, os.path.join(HERE, net + ".znet")]
        for name, value in params.items():
            arguments += ["-D", "%s=%d" % (name, value)]
        done = subprocess.run(arguments + options, text=True, stdout=subprocess.PIPE, check=True,
                              preexec_fn=lambda: os.sched_setaffinity(0, self.cpus))
        return json.loads(done.stdout)

    def parameters(self, net, params):
        return sum(layer["parameters"] for layer in self.run("check", net, params, ["--json"])["layers"])

    def measure(self, net, params, seconds):
        answer = self.run("bench", net, params, self.options + ["--seconds", "%g" % seconds])
        return answer["images_per_second_median"]


class Torch:
    """A process of its own, so that what PyTorch may use of the processor is set before it starts."""

    def __init__(self, threads, cpus, march):
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads))
        if march == "x86-64-v3":
            environment.update(ATEN_CPU_CAPABILITY="avx2", ONEDNN_MAX_CPU_ISA="AVX2")
        self.process = subprocess.Popen([sys.executable, os.path.join(HERE, "rivals", "torch_shapes.py"), str(threads)],
                                        text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment,
                                        preexec_fn=lambda: os.sched_setaffinity(0, cpus))
        self.about = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit("shapes.py: PyTorch's process ended")
        return json.loads(line)

    def measure(self, net, params, seconds):
        self.process.stdin.write(json.dumps({"net": net, "params": params, "seconds": seconds}) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def cell(znet, torch, net, params, seconds):
    """Rates of both sides and their ratio; of a small one those of the repeats."""
    rates = []
    for k in range(1 + REPEATS):
        z, t = znet.measure(net, params, seconds), torch.measure(net, params, seconds)
        if not k and znet.parameters(net, params) != t["parameters"]:
            sys.exit("shapes.py: %s %s: znet has %d parameters, PyTorch %d" %
                     (net, params, znet.parameters(net, params), t["parameters"]))
        rates.append((z, t["median"]))
        if not k and z / t["median"] >= LEAST:
            break
    rates = rates[1:] or rates
    ratios = [z / t for z, t in rates]
    return [statistics.median(side) for side in zip(*rates)] + [statistics.median(ratios), ratios]


def name_of(net, params):
    if net == "two_convs":
        return "side %3d  %3d to %3d  %dx%d  stride %d  batch %4d" % (
            params["side"], params["channels"], params["outputs"], params["kernel"], params["kernel"], params["stride"],
            params["batch"])
    if net == "groups":
        return "side %3d  %3d to %3d  %dx%d  stride %d  groups %3d  batch %3d" % (
            params["side"], params["channels"], params["outputs"], params["kernel"], params["kernel"], params["stride"],
            params["groups"], params["batch"])
    return "%-12s %s" % (net, "  ".join("%s %4d" % p for p in params.items()))


def compare(cells, threads, cpus, options):
    znet, torch = Znet(options.znetc, threads, cpus, options.march), Torch(threads, cpus, options.march)
    print("%d thread%s; PyTorch %s, %s" % (threads, "s" if threads > 1 else "", torch.about["version"], torch.about["cpu"]))
    ratios = []
    for net, params in cells:
        z, t, ratio, each = cell(znet, torch, net, params, options.seconds)
        ratios.append(ratio)
        repeated = "  (%.2f to %.2f)" % (min(each), max(each)) if len(each) > 1 else ""
        print("  %-58s znet %9.1f  torch %9.1f  ratio %5.2f%s" % (name_of(net, params), z, t, ratio, repeated), flush=True)
    torch.close()
    print("  %d networks: median %.2f, smallest %.2f, geometric mean %.2f, below 1: %d\n" %
          (len(ratios), statistics.median(ratios), min(ratios), math.exp(statistics.mean(map(math.log, ratios))),
           sum(r < 1 for r in ratios)), flush=True)


def batches(threads, cpus, options):
    znet = Znet(options.znetc, threads, cpus, options.march)
    print("%d thread%s, the record's network" % (threads, "s" if threads > 1 else ""))
    for n in BATCHES:
        print("  batch %4d  images/s %9.1f" % (n, znet.measure("record", {"batch": n}, options.seconds)), flush=True)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--znetc", default=os.path.join(HERE, "..", "build-release", "znetc"), help="the compiler (%(default)s)")
    a.add_argument("--threads", default="1,2", help="numbers of threads (default %(default)s)")
    a.add_argument("--seconds", type=float, default=2, help="of each side in each turn (default %(default)g)")
    a.add_argument("--march", choices=["x86-64-v3"], help="what both sides may use of the processor (default: all)")
    a.add_argument("--seed", type=int, help="draw shapes at random")
    a.add_argument("--count", type=int, default=24, help="how many (default %(default)d)")
    a.add_argument("--networks", action="store_true", help="whole networks")
    a.add_argument("--groups", action="store_true", help="convolutions in groups")
    a.add_argument("--batches", action="store_true", help="znet alone, the record's network by batch")
    o = a.parse_args()
    shapes = FIXED if o.seed is None else drawn(o.seed, o.count)
    cells = NETWORKS if o.networks else [("two_convs", dict(zip(SHAPE, shape))) for shape in shapes]
    if o.groups:
        cells = [("groups", params) for params in GROUPS]
    available = sorted(os.sched_getaffinity(0))
    for threads in map(int, o.threads.split(",")):
        if threads > len(available):
            print("%d threads: there are %d processors" % (threads, len(available)))
        elif o.batches:
            batches(threads, set(available[:threads]), o)
        else:
            compare(cells, threads, set(available[:threads]), o)


main()
