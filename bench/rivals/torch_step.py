"""Training steps of PyTorch on the networks of bench/compare.sh: python3 torch_step.py NET THREADS [--compile]

Data is random and resident in memory; images are channels_last. --compile: torch.compile of model and loss. Speaks the
protocol of rivals/protocol.py."""
import time

T0 = time.time()
import sys

from protocol import serve

net, threads = sys.argv[1], int(sys.argv[2])
compiled = "--compile" in sys.argv[3:]

import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(0)
torch.set_num_threads(threads)


def conv(i, o, k, stride=1):
    return nn.Conv2d(i, o, k, stride, k // 2, bias=False)


class Residual(nn.Module):
    """relu(branch(x) + shortcut(x)); the shortcut pads with zero channels, or projects, where shapes differ."""

    def __init__(self, i, width, stride, bottleneck, pad):
        super().__init__()
        o = 4 * width if bottleneck else width
        if bottleneck:
            layers = [conv(i, width, 1), nn.BatchNorm2d(width), nn.ReLU(True), conv(width, width, 3, stride),
                      nn.BatchNorm2d(width), nn.ReLU(True), conv(width, o, 1), nn.BatchNorm2d(o)]
        else:
            layers = [conv(i, o, 3, stride), nn.BatchNorm2d(o), nn.ReLU(True), conv(o, o, 3), nn.BatchNorm2d(o)]
        self.branch = nn.Sequential(*layers)
        self.stride, self.extra, self.pad = stride, o - i, pad
        differs = stride != 1 or i != o
        self.project = nn.Sequential(conv(i, o, 1, stride), nn.BatchNorm2d(o)) if differs and not pad else None

    def forward(self, x):
        y = self.branch(x)
        if self.project is not None:
            x = self.project(x)
        elif self.stride != 1 or self.extra:
            x = F.pad(x[:, :, ::self.stride, ::self.stride], (0, 0, 0, 0, 0, self.extra))
        return F.relu(y + x, inplace=True)


class ResNet(nn.Module):
    def __init__(self, widths, depths, bottleneck=False, pad=False, stem=3):
        super().__init__()
        i = widths[0]
        layers = [conv(3, i, stem, 2 if stem == 7 else 1), nn.BatchNorm2d(i), nn.ReLU(True)]
        if stem == 7:
            layers.append(nn.MaxPool2d(3, 2, 1))
        for stage, (width, n) in enumerate(zip(widths, depths)):
            for k in range(n):
                layers.append(Residual(i, width, 2 if stage and not k else 1, bottleneck, pad))
                i = 4 * width if bottleneck else width
        self.body, self.head = nn.Sequential(*layers), nn.Linear(i, 10)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))


class MLP(nn.Module):
    def __init__(self, width, depth):
        super().__init__()
        self.first, self.last = nn.Linear(784, width), nn.Linear(width, 10)
        self.layers = nn.ModuleList([nn.Linear(width, width) for _ in range(depth)])

    def forward(self, x):
        x = F.relu(self.first(x))
        for layer in self.layers:
            x = x + F.relu(layer(x))
        return self.last(x)


class Norm(nn.BatchNorm2d):
    """As examples/cifar94.znet has it: the scale stays 1."""

    def __init__(self, c):
        super().__init__(c, eps=1e-12, momentum=0.4)
        self.weight.requires_grad = False


class Cifar94(nn.Module):
    def __init__(self):
        super().__init__()
        layers, i = [nn.Conv2d(3, 24, 2), nn.GELU()], 24
        layers[0].weight.requires_grad = False
        for o in (64, 256, 256):
            layers += [conv(i, o, 3), nn.MaxPool2d(2), Norm(o), nn.GELU(), conv(o, o, 3), Norm(o), nn.GELU()]
            i = o
        self.body, self.head = nn.Sequential(*layers, nn.MaxPool2d(3), nn.Flatten()), nn.Linear(i, 10, bias=False)

    def forward(self, x):
        return self.head(self.body(x)) / 9


nets = {
    "resnet18": (lambda: ResNet([64, 128, 256, 512], [2, 2, 2, 2]), 128, (3, 32, 32)),
    "resnet20": (lambda: ResNet([16, 32, 64], [3, 3, 3], pad=True), 128, (3, 32, 32)),
    "resnet50": (lambda: ResNet([64, 128, 256, 512], [3, 4, 6, 3], bottleneck=True, stem=7), 32, (3, 64, 64)),
    "cifar94": (Cifar94, 1024, (3, 32, 32)),
    "mlp512": (lambda: MLP(512, 8), 128, (784,)),
    "mlp64": (lambda: MLP(64, 8), 32, (784,)),
}
make, batch, shape = nets[net]
model = make()
images, labels = torch.randn(batch, *shape), torch.randint(0, 10, (batch,))
if len(shape) == 3:
    model = model.to(memory_format=torch.channels_last)
    images = images.to(memory_format=torch.channels_last)
trained = [p for p in model.parameters() if p.requires_grad]
optimizer = torch.optim.SGD(trained, 0.01, momentum=0.9, weight_decay=1e-4, nesterov=net == "cifar94")
smoothing = 0.2 if net == "cifar94" else 0.0


def loss_of(x, y):
    return F.cross_entropy(model(x), y, label_smoothing=smoothing)


if compiled:
    loss_of = torch.compile(loss_of)


def step():
    optimizer.zero_grad(set_to_none=True)
    loss = loss_of(images, labels)
    loss.backward()
    optimizer.step()
    return loss.item()


serve(step, batch, T0, version=torch.__version__, parameters=sum(p.numel() for p in model.parameters()))
