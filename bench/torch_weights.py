#!/usr/bin/env python3
"""Weights of examples/resnet20.znet in PyTorch, and back.

usage: torch_weights.py ZNETC CIFAR10_DIR [STEPS]

Trains STEPS (default 300) steps by znet, loads weights.safetensors into a ResNet-20 of PyTorch's own modules, and
compares the predictions of all 10 000 test images with those of znet (--eval --outputs). Then gives PyTorch's model
other weights, writes them with the safetensors package, and compares again, with znet's --init-from. Exit code 0 if all
predictions are the same, but for images whose two largest logits are closer than the rounding of sums."""
import json, os, subprocess, sys, tempfile

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
import torch.nn.functional as F


class Residual(nn.Module):
    """The two arms of a residual of shortcut = pad: strided, and padded with channels of zeros."""

    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.more, self.stride = cout - cin, stride

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more)) + y)


class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        widths, cin = (16, 32, 64), 16
        for s, width in enumerate(widths, 1):
            blocks = nn.ModuleDict()
            for i in range(3):
                blocks[str(i)] = Residual(cin, width, 2 if s > 1 and i == 0 else 1)
                cin = width
            setattr(self, f"stage{s}", blocks)
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        for s in (1, 2, 3):
            for block in getattr(self, f"stage{s}").values():
                x = block(x)
        return self.head(x.mean((2, 3)))


def cifar(folder):
    """The test images as znet's normalize = per_channel makes them."""
    def images(name):
        raw = np.fromfile(os.path.join(folder, name), np.uint8).reshape(-1, 3073)
        return raw[:, 0], raw[:, 1:].reshape(-1, 3, 32, 32)

    train = np.concatenate([images(f"data_batch_{i}.bin")[1] for i in range(1, 6)]) / 255.0
    mean, deviation = train.mean((0, 2, 3)), train.std((0, 2, 3))
    labels, test = images("test_batch.bin")
    test = (test / 255.0 - mean[:, None, None]) / deviation[:, None, None]
    return torch.from_numpy(test.astype(np.float32)), labels


def predict(model, images):
    model.eval()
    with torch.no_grad():
        return torch.cat([model(batch) for batch in images.split(500)]).numpy()


def compare(what, ours, theirs, labels):
    ours = np.load(ours)
    other = ours.argmax(1) != theirs.argmax(1)
    scale = np.abs(theirs).max()
    top = np.sort(ours, 1)
    close = (top[:, -1] - top[:, -2]) <= 1e-5 * scale
    print(f"{what}: {len(labels)} images, {int(other.sum())} predictions differ ({int((other & ~close).sum())} where the "
          f"two largest logits are apart); largest difference of logits {np.abs(ours - theirs).max() / scale:.1e} of "
          f"the largest; accuracy {100 * (ours.argmax(1) == labels).mean():.2f} % and "
          f"{100 * (theirs.argmax(1) == labels).mean():.2f} %")
    return not (other & ~close).any()


def main():
    znetc, folder = sys.argv[1], sys.argv[2]
    steps = sys.argv[3] if len(sys.argv) > 3 else "300"
    here = os.path.dirname(os.path.abspath(__file__))
    with tempfile.TemporaryDirectory() as tmp:
        train = os.path.join(tmp, "train")
        subprocess.run([znetc, os.path.join(here, "../examples/resnet20.znet"), "--init", "kaiming", "-o", train], check=True)
        subprocess.run([train, "--data", folder, "--steps", steps, "--out", tmp], check=True, stdout=subprocess.DEVNULL)
        images, labels = cifar(folder)
        model = ResNet20()

        def ask(weights, out):
            subprocess.run([train, "--data", folder, "--eval", "--init-from", weights, "--outputs", out], check=True,
                           stdout=subprocess.DEVNULL)
            return out

        weights = os.path.join(tmp, "weights.safetensors")
        result = model.load_state_dict(load_file(weights), strict=False)
        left = [k for k in result.missing_keys if not k.endswith("num_batches_tracked")] + result.unexpected_keys
        if left:
            sys.exit(f"names differ: {left}")
        same = compare("from znet to PyTorch", ask(weights, os.path.join(tmp, "a.npy")), predict(model, images), labels)

        torch.manual_seed(1)
        with torch.no_grad():
            for p in model.parameters():
                p.mul_(1 + 0.02 * torch.randn_like(p))
        back = os.path.join(tmp, "back.safetensors")
        save_file(model.state_dict(), back) # with num_batches_tracked
        same &= compare("from PyTorch to znet", ask(back, os.path.join(tmp, "b.npy")), predict(model, images), labels)
    sys.exit(0 if same else 1)


main()
