"""Training steps of PyTorch on the networks of bench/shapes.py: python3 torch_shapes.py THREADS

Eager execution, f32, channels_last, data random and resident in memory. Reads lines of JSON: net (the name of a file of
bench/), its params, seconds; prints for each the number of trained parameters and images/s, median of the steps. A network
stays until another one is asked for."""
import json
import statistics
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F


def conv(i, o, k=3, stride=1):
    return nn.Conv2d(i, o, k, stride, k // 2, bias=False)


def norm(c):
    return [nn.BatchNorm2d(c), nn.ReLU(True)]


def head(c, bias=True):
    return [nn.Flatten(), nn.Linear(c, 10, bias=bias)]


class Residual(nn.Module):
    def __init__(self, branch, i, o, stride, behind):
        super().__init__()
        self.branch = nn.Sequential(*branch)
        self.shortcut = nn.Sequential(conv(i, o, 1, stride), nn.BatchNorm2d(o)) if i != o or stride > 1 else None
        self.behind = behind

    def forward(self, x):
        y = self.branch(x) + (self.shortcut(x) if self.shortcut else x)
        return F.relu(y, True) if self.behind else y


def two_convs(side, channels, outputs, kernel, stride):
    return [conv(channels, channels, kernel)] + norm(channels) + [conv(channels, outputs, kernel, stride)] + \
        norm(outputs) + [nn.AdaptiveAvgPool2d(1)] + head(outputs), (channels, side, side)


def vgg(width, side=28):
    layers, i = [], 3
    for k in range(3):
        o = width << k
        layers += [conv(i, o)] + norm(o) + [conv(o, o)] + norm(o) + ([nn.MaxPool2d(2)] if k < 2 else [])
        i = o
    return layers + [nn.AdaptiveAvgPool2d(1)] + head(i), (3, side, side)


def record():
    layers, i = [], 24
    for o in 64, 256, 256:
        layers += [conv(i, o), nn.MaxPool2d(2)] + norm(o) + [conv(o, o)] + norm(o)
        i = o
    return layers + [nn.MaxPool2d(3)] + head(i, bias=False), (24, 31, 31)


def resnet18(side):
    layers, i = [conv(3, 64, 7, 2)] + norm(64) + [nn.MaxPool2d(3, 2, 1)], 64
    for o in 64, 128, 256, 512:
        for k in range(2):
            stride = 2 if o > 64 and not k else 1
            layers.append(Residual([conv(i, o, 3, stride)] + norm(o) + [conv(o, o), nn.BatchNorm2d(o)], i, o, stride, True))
            i = o
    return layers + [nn.AdaptiveAvgPool2d(1)] + head(i), (3, side, side)


def wide_resnet(widen=4):
    layers, i = [conv(3, 16)], 16
    for k in range(3):
        o = (16 << k) * widen
        for b in range(2):
            stride = 2 if k and not b else 1
            branch = [nn.BatchNorm2d(i), nn.ReLU(True), conv(i, o, 3, stride)] + norm(o) + [conv(o, o)]
            layers.append(Residual(branch, i, o, stride, False))
            i = o
    return layers + norm(i) + [nn.AdaptiveAvgPool2d(1)] + head(i), (3, 32, 32)


NETS = {f.__name__: f for f in (two_convs, vgg, record, resnet18, wide_resnet)}


class Training:
    def __init__(self, net, params):
        params = dict(params)
        self.batch = params.pop("batch")
        layers, shape = NETS[net](**params)
        self.model = nn.Sequential(*layers).to(memory_format=torch.channels_last)
        self.images = torch.randn(self.batch, *shape).to(memory_format=torch.channels_last)
        self.labels = torch.randint(0, 10, (self.batch,))
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.01, momentum=0.9)
        for _ in range(3):
            self.step()

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(self.model(self.images), self.labels)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def measure(self, seconds):
        times = []
        self.step()  # caches and clocks are the other program's
        while sum(times) < seconds or len(times) < 3:
            begin = time.perf_counter()
            self.step()
            times.append(time.perf_counter() - begin)
        return self.batch / statistics.median(times)


def main():
    torch.manual_seed(0)
    torch.set_num_threads(int(sys.argv[1]))
    print(json.dumps({"version": torch.__version__, "cpu": torch.backends.cpu.get_cpu_capability()}), flush=True)
    of = training = None
    for line in sys.stdin:
        request = json.loads(line)
        if of != (request["net"], request["params"]):
            training = None  # its memory goes first
            of, training = (request["net"], request["params"]), Training(request["net"], request["params"])
        print(json.dumps({"median": training.measure(request["seconds"]),
                          "parameters": sum(p.numel() for p in training.model.parameters())}), flush=True)


main()
