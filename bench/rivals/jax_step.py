"""Training steps of JAX on the networks of bench/compare.sh, the whole step jitted: python3 jax_step.py NET THREADS

NHWC, f32, SGD with momentum and weight decay; random data, resident in memory. Threads are those of the processors that
the caller's affinity mask leaves. Speaks the protocol of rivals/protocol.py."""
import time

T0 = time.time()
import sys

from protocol import serve

net = sys.argv[1]

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

random = np.random.default_rng(0)


def normal(*shape):
    return jnp.asarray(random.normal(size=shape).astype("f"))


def conv_weights(i, o, k):
    return normal(k, k, i, o) * np.float32(np.sqrt(2 / (k * k * o)))


def norm_weights(c):
    return jnp.ones(c), jnp.zeros(c)


def conv(x, w, stride=1):
    pad = w.shape[0] // 2
    return lax.conv_general_dilated(x, w, (stride, stride), [(pad, pad)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def norm(x, p):
    mean = x.mean((0, 1, 2))
    variance = ((x - mean) ** 2).mean((0, 1, 2))
    return (x - mean) * lax.rsqrt(variance + 1e-5) * p[0] + p[1]


def residual_network(widths, depths, bottleneck=False, pad=False, stem=3):
    i = widths[0]
    params, strides = {"stem": (conv_weights(3, i, stem), norm_weights(i)), "blocks": []}, []
    for stage, (width, n) in enumerate(zip(widths, depths)):
        for k in range(n):
            stride, o = 2 if stage and not k else 1, 4 * width if bottleneck else width
            sizes = [(i, width, 1), (width, width, 3), (width, o, 1)] if bottleneck else [(i, o, 3), (o, o, 3)]
            block = {"branch": [(conv_weights(*s), norm_weights(s[1])) for s in sizes]}
            if (stride != 1 or i != o) and not pad:
                block["project"] = (conv_weights(i, o, 1), norm_weights(o))
            params["blocks"].append(block)
            strides.append(stride)
            i = o
    params["head"] = (jnp.zeros((i, 10)), jnp.zeros(10))

    def forward(params, x):
        w, p = params["stem"]
        x = jax.nn.relu(norm(conv(x, w, 2 if stem == 7 else 1), p))
        if stem == 7:
            x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), [(0, 0), (1, 1), (1, 1), (0, 0)])
        for block, stride in zip(params["blocks"], strides):
            y, last = x, len(block["branch"]) - 1
            for k, (w, p) in enumerate(block["branch"]):
                y = norm(conv(y, w, stride if k == (1 if bottleneck else 0) else 1), p)
                y = jax.nn.relu(y) if k < last else y
            if "project" in block:
                w, p = block["project"]
                x = norm(conv(x, w, stride), p)
            elif stride != 1 or y.shape[3] != x.shape[3]:
                x = jnp.pad(x[:, ::stride, ::stride], ((0, 0), (0, 0), (0, 0), (0, y.shape[3] - x.shape[3])))
            x = jax.nn.relu(x + y)
        return x.mean((1, 2)) @ params["head"][0] + params["head"][1]

    return params, forward


def mlp(width, depth):
    def linear(i, o):
        return normal(i, o) * np.float32(np.sqrt(2 / i)), jnp.zeros(o)

    params = [linear(784, width)] + [linear(width, width) for _ in range(depth)] + [linear(width, 10)]

    def forward(params, x):
        x = jax.nn.relu(x @ params[0][0] + params[0][1])
        for w, b in params[1:-1]:
            x = x + jax.nn.relu(x @ w + b)
        return x @ params[-1][0] + params[-1][1]

    return params, forward


nets = {
    "resnet18": (lambda: residual_network([64, 128, 256, 512], [2, 2, 2, 2]), 128, (32, 32, 3)),
    "resnet20": (lambda: residual_network([16, 32, 64], [3, 3, 3], pad=True), 128, (32, 32, 3)),
    "resnet50": (lambda: residual_network([64, 128, 256, 512], [3, 4, 6, 3], bottleneck=True, stem=7), 32, (64, 64, 3)),
    "mlp512": (lambda: mlp(512, 8), 128, (784,)),
    "mlp64": (lambda: mlp(64, 8), 32, (784,)),
}
make, batch, shape = nets[net]
params, forward = make()
images, labels = normal(batch, *shape), jnp.asarray(random.integers(0, 10, batch))
momentum = jax.tree.map(jnp.zeros_like, params)


def loss_of(params, x, y):
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(forward(params, x)), y[:, None], 1))


def update(params, momentum, x, y):
    loss, gradient = jax.value_and_grad(loss_of)(params, x, y)
    momentum = jax.tree.map(lambda p, v, g: 0.9 * v + g + 1e-4 * p, params, momentum, gradient)
    return jax.tree.map(lambda p, v: p - 0.01 * v, params, momentum), momentum, loss


update = jax.jit(update, donate_argnums=(0, 1))


def step():
    global params, momentum
    params, momentum, loss = update(params, momentum, images, labels)
    return float(loss)


serve(step, batch, T0, version=jax.__version__, parameters=sum(p.size for p in jax.tree.leaves(params)))
