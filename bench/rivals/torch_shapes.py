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


def conv(i, o, k=3, stride=1, groups=1, bias=False):
    return nn.Conv2d(i, o, k, stride, k // 2, bias=bias, groups=groups)


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


def groups(side, channels, outputs, kernel, stride, groups):
    return [conv(channels, channels, kernel, groups=groups)] + norm(channels) + \
        [conv(channels, outputs, kernel, stride, groups)] + norm(outputs) + [nn.AdaptiveAvgPool2d(1)] + head(outputs), \
        (channels, side, side)


def mobile(side):
    layers, i = [conv(3, 32, 3, 2 if side > 64 else 1)] + norm(32), 32
    for o, stride in (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1):
        layers += [conv(i, i, 3, stride, i)] + norm(i) + [conv(i, o, 1)] + norm(o)
        i = o
    return layers + [nn.AdaptiveAvgPool2d(1)] + head(i), (3, side, side)


class ChannelNorm(nn.LayerNorm):
    """Of images: channels_last images are layers of channels already."""

    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def convnext(side, width):
    layers, i = [conv(3, width, bias=True), ChannelNorm(width)], width
    for k in range(3):
        if k:
            layers += [ChannelNorm(i), conv(i, 2 * i, 3, 2, bias=True)]
            i *= 2
        for _ in range(2):
            branch = [conv(i, i, 7, 1, i, True), ChannelNorm(i), conv(i, 4 * i, 1, bias=True), nn.GELU(),
                      conv(4 * i, i, 1, bias=True)]
            layers.append(Residual(branch, i, i, 1, False))
    return layers + [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(i)] + head(i), (3, side, side)


NETS = {f.__name__: f for f in (two_convs, groups, vgg, record, resnet18, wide_resnet, mobile, convnext)}


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
