#!/usr/bin/env python3
"""Measures znet and its rivals in turns on the same work; run by bench/compare.sh, whose head says how to set it up.

Every round trains each program for a few seconds, one after the other, on the same processors; a round's ratio is that of
the medians of its steps. What is printed is the median of the rounds' ratios with the smallest and the largest. Absolute
numbers move between machines and hours: only ratios of one run count."""
import argparse
import importlib.util
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
NOISE = ["--set", "data.source=noise(32, 32, 3, 10, 1280)", "--set", "data.augment=[]"]
KAIMING = ["--init", "kaiming"]
NETS = {  # file, options: with a start that leaves the graph as it is, so that both sides run the same one
    "resnet18": ("../examples/resnet18.znet", KAIMING + NOISE),
    "resnet20": ("../examples/resnet20.znet", KAIMING + NOISE),
    "resnet50": ("../examples/resnet50.znet", KAIMING),
    "cifar94": ("../examples/cifar94.znet", NOISE),
    "mlp512": ("mlp.znet", KAIMING),
    "mlp64": ("mlp.znet", KAIMING + ["-D", "width=64", "-D", "batch=32"]),
}
RIVALS = {  # script, options, module it needs
    "torch": ("torch_step.py", [], "torch"),
    "compile": ("torch_step.py", ["--compile"], "torch"),
    "jax": ("jax_step.py", [], "jax"),
}


class Rival:
    """A running rival; see rivals/protocol.py."""

    def __init__(self, name, net, cpus):
        script, options, _ = RIVALS[name]
        environment = dict(os.environ, OMP_NUM_THREADS=str(len(cpus)), TF_CPP_MIN_LOG_LEVEL="3")
        self.process = subprocess.Popen(
            [sys.executable, os.path.join(HERE, "rivals", script), net, str(len(cpus))] + options, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE if not VERBOSE else None,
            env=environment, preexec_fn=lambda: os.sched_setaffinity(0, cpus))
        self.about = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            error = self.process.stderr.read() if self.process.stderr else ""
            raise RuntimeError(error.strip().splitlines()[-1] if error.strip() else "it ended")
        return json.loads(line)

    def measure(self, seconds):
        self.process.stdin.write("%g\n" % seconds)
        self.process.stdin.flush()
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def znetc(arguments, cpus, **more):
    return subprocess.run([ZNETC] + arguments, check=True, text=True, stdout=subprocess.PIPE,
                          preexec_fn=lambda: os.sched_setaffinity(0, cpus), **more).stdout


def net_arguments(net):
    path, options = NETS[net]
    return [os.path.join(HERE, path)] + options


def znet_measure(net, cpus, seconds, cache):
    answer = json.loads(znetc(["bench"] + net_arguments(net) + ["--json", "--seconds", "%g" % seconds, "--threads",
                                                                str(len(cpus)), "--cache-dir", cache], cpus))
    return {"median": answer["images_per_second_median"], "best": answer["images_per_second_best"],
            "first_step": answer["first_step_seconds"]}


def znet_executable(net, cpus, directory):
    """Size of the training program and its peak memory while it trains."""
    path = os.path.join(directory, net)
    znetc(net_arguments(net) + ["-o", path, "--no-cache"], cpus)
    log = path + ".jsonl"
    subprocess.run([path, "--steps", "4", "--threads", str(len(cpus)), "--progress", "none", "--log", log], check=True,
                   stdout=subprocess.DEVNULL, preexec_fn=lambda: os.sched_setaffinity(0, cpus))
    with open(log) as lines:
        end = [json.loads(line) for line in lines if '"end"' in line][-1]
    return os.path.getsize(path), end["peak_memory_bytes"]


def parameters_of(net, cpus):
    text = znetc(["check"] + net_arguments(net), cpus)
    return int(re.search(r"^total: ([\d ]+) parameters", text, re.M).group(1).replace(" ", ""))


def spread(values):
    return "%.2f (%.2f to %.2f)" % (statistics.median(values), min(values), max(values))


def compare(net, threads, options, directory):
    cpus = set(sorted(os.sched_getaffinity(0))[:threads])
    cache = os.path.join(directory, "cache-%s-%d" % (net, threads))
    znet = [znet_measure(net, cpus, 0, cache), znet_measure(net, cpus, 0, cache)]  # cold, warm
    parameters = parameters_of(net, cpus)
    rivals = {}
    for name in options.rivals:
        try:
            rivals[name] = Rival(name, net, cpus)
        except (RuntimeError, OSError, ValueError) as e:
            print("  %-8s does not run: %s" % (name, e), flush=True)
            continue
        if rivals[name].about["parameters"] != parameters:
            sys.exit("%s: znet has %d parameters, %s %d" % (net, parameters, name, rivals[name].about["parameters"]))
    rounds = {name: [] for name in ["znet"] + list(rivals)}
    for _ in range(options.rounds):
        rounds["znet"].append(znet_measure(net, cpus, options.seconds, cache))
        for name, rival in rivals.items():
            rounds[name].append(rival.measure(options.seconds))
    size, peak = znet_executable(net, cpus, directory)
    report(net, threads, parameters, rounds, rivals, znet, size, peak)
    for rival in rivals.values():
        rival.close()
    return statistics.median(r["median"] for r in rounds["znet"])


def report(net, threads, parameters, rounds, rivals, first, size, peak):
    print("%s, %d thread%s, %d parameters" % (net, threads, "s" if threads > 1 else "", parameters))
    print("  %-8s %12s %12s   %-24s %-12s %s" % ("", "images/s", "best", "znet is faster by", "first step", "peak memory"))
    for name, values in rounds.items():
        median, best = statistics.median(v["median"] for v in values), max(v["best"] for v in values)
        if name == "znet":
            ratio, step, memory = "", "%.2f / %.2f s" % (first[0]["first_step"], first[1]["first_step"]), peak
        else:
            ratio = spread([z["median"] / v["median"] for z, v in zip(rounds["znet"], values)])
            step, memory = "%.2f s" % rivals[name].about["first_step"], values[-1]["peak_bytes"]
        print("  %-8s %12.1f %12.1f   %-24s %-12s %.1f MB" % (name, median, best, ratio, step, memory * 1e-6))
    if rivals:
        of_round = [max(rounds[name][k]["median"] for name in rivals) for k in range(len(rounds["znet"]))]
        print("  against the best of each round: " + spread([z["median"] / r for z, r in zip(rounds["znet"], of_round)]))
    print("  znet's first step is cold / warm; its memory is that of the executable, %.1f MB on disk" % (size * 1e-6))
    sys.stdout.flush()


def words(text, known, what):
    chosen = text.split(",")
    for word in chosen:
        if word not in known:
            sys.exit("compare.py: no %s `%s`; there are %s" % (what, word, ", ".join(known)))
    return chosen


def main():
    global ZNETC, VERBOSE
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--znetc", required=True, help=argparse.SUPPRESS)
    a.add_argument("--nets", default=",".join(NETS), help="of %(default)s")
    a.add_argument("--threads", default="1,2", help="numbers of threads (default %(default)s)")
    a.add_argument("--rivals", default="torch,jax", help="of torch (eager), compile (torch.compile), jax, none")
    a.add_argument("--seconds", type=float, default=4, help="of each program in each round (default %(default)g)")
    a.add_argument("--rounds", type=int, default=3, help="default %(default)d")
    a.add_argument("--verbose", action="store_true", help="show what rivals write to standard error")
    o = a.parse_args()
    ZNETC, VERBOSE = o.znetc, o.verbose
    nets = words(o.nets, NETS, "network")
    o.rivals = [] if o.rivals == "none" else words(o.rivals, RIVALS, "rival")
    for module in sorted({RIVALS[name][2] for name in o.rivals}):
        if not importlib.util.find_spec(module):
            print("%s is not installed for %s: left out (the head of bench/compare.sh says how to install it)" %
                  (module, sys.executable))
            o.rivals = [name for name in o.rivals if RIVALS[name][2] != module]
    threads = [int(t) for t in o.threads.split(",")]
    available = len(os.sched_getaffinity(0))
    directory = tempfile.mkdtemp(prefix="znet-compare-")
    try:
        for net in nets:
            speed = {t: compare(net, t, o, directory) for t in threads if t <= available}
            if len(speed) > 1:
                least, most = min(speed), max(speed)
                print("  %d threads over %d: %.2f" % (most, least, speed[most] / speed[least]))
    finally:
        shutil.rmtree(directory)


main()
