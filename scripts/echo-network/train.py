#!/usr/bin/env python3
"""Trains the network of the echo suppressor.

usage: scripts/echo-network/train.py CALLS_DIR[,..] OUT.npz [STEPS [SEED]]

CALLS_DIR holds what calls.py made, and NAME.bin with the powers that the network hears in each call (see README.md). Written are
the weights as floats, for export.py.
"""
import glob, os, sys, time

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
import jax, jax.numpy as jnp, numpy as np, optax

CENTRES = [0, 2, 4, 6, 8, 10, 12, 14, 16, 19, 22, 25, 28, 32, 36, 40, 44, 49, 54, 59, 65, 71, 78, 85, 92, 100, 108, 117, 127, 137, 148, 160]
BANDS, GROUPS, FAR = len(CENTRES), 6, 3
DENSE, STATE = 128, 128
BATCH, FRAMES = 32, 400
SHARES = np.maximum(0, np.stack([np.interp(np.arange(161), CENTRES, row) for row in np.eye(BANDS)], 1)).astype("float32")
WINDOW = np.sin(np.pi * (np.arange(320) + 0.5) / 320)


def bands(path):
    x = np.concatenate([np.zeros(160), np.fromfile(path, "<f4")])
    frames = np.lib.stride_tricks.sliding_window_view(x, 320)[::160]
    return (np.abs(np.fft.rfft(frames * WINDOW)) ** 2) @ SHARES


def load(folders):
    """Features, whether there may be echo, powers of what the filter leaves and of the near end, and whether the near end speaks."""
    calls = []
    for path in sorted(path for folder in folders.split(",") for path in glob.glob(folder + "/*.bin")):
        near, speech = bands(path[:-3] + "near"), bands(path[:-3] + "speech").sum(1)
        rows = np.fromfile(path, "<f4").reshape(-1, GROUPS * BANDS)
        speaks = speech > max(1e-3 * np.sort(speech)[-50:].mean(), 1e-7)
        speaks = np.convolve(speaks, np.ones(5), "same") > 0
        calls.append((0.3 * np.log10(rows + 1e-8) + 0.6, rows.any(1), rows[:, :BANDS], near, speaks))
    return [np.stack(part).astype("float32") for part in zip(*calls)]


def initial(rng):
    matrix = lambda rows, columns: jnp.array(rng.normal(size=(rows, columns)) / np.sqrt(columns), jnp.float32)
    return {
        "dense": matrix(DENSE, GROUPS * BANDS), "dense_bias": jnp.zeros(DENSE),
        "input": matrix(3 * STATE, DENSE), "input_bias": jnp.zeros(3 * STATE),
        "recurrent": matrix(3 * STATE, STATE), "recurrent_bias": jnp.zeros(3 * STATE),
        "out": 0.3 * matrix(BANDS + 1, DENSE + STATE), "out_bias": jnp.zeros(BANDS + 1),
    }


def network(p, features, active):
    """Logits of the gains and of the near end's presence, for [frame, call, feature]. While there is no echo the state rests."""
    dense = jnp.tanh(features @ p["dense"].T + p["dense_bias"])
    from_input = dense @ p["input"].T + p["input_bias"]

    def step(state, now):
        x, active = now
        u = state @ p["recurrent"].T + p["recurrent_bias"]
        update = jax.nn.sigmoid(x[:, :STATE] + u[:, :STATE])
        reset = jax.nn.sigmoid(x[:, STATE : 2 * STATE] + u[:, STATE : 2 * STATE])
        candidate = jnp.tanh(x[:, 2 * STATE :] + reset * u[:, 2 * STATE :])
        state = jnp.where(active[:, None] > 0, candidate + update * (state - candidate), state)
        return state, state

    states = jax.lax.scan(step, jnp.zeros((features.shape[1], STATE)), (from_input, active))[1]
    return jnp.concatenate([dense, states], -1) @ p["out"].T + p["out_bias"]


def coloured(features, rng):
    """Features as of microphones and far ends of other levels and colours, by up to 4 dB each way."""
    place = np.linspace(-1, 1, BANDS)
    curve = lambda: 0.12 * (rng.uniform(-1, 1, (BATCH, 3)) @ [np.ones(BANDS), place, np.cos(np.pi * place)])
    microphone, far = curve(), curve()
    groups = [far if group == FAR else microphone for group in range(GROUPS)]
    return features + np.concatenate(groups, 1).astype("float32")


def loss(p, features, active, left, near, speaks):
    logits = network(p, features, active)
    gain = jax.nn.sigmoid(logits[..., :BANDS])
    wanted = jnp.sqrt(jnp.clip(near / (left + 1e-12), 0, 1))
    audible = active[..., None] * (left > 1e-6)
    off = jnp.sqrt(gain + 1e-6) - jnp.sqrt(wanted + 1e-6)
    shape = (audible * (off**2 + 6 * off**4)).sum() / (audible.sum() + 1)
    # What is heard: compressed powers, relative to the loudest of the call.
    peak = jnp.max(left, (0, 2), keepdims=True) + 1e-9
    heard = (gain**2 * left / peak + 1e-6) ** 0.15 - (jnp.minimum(near, left) / peak + 1e-6) ** 0.15
    power = (active[..., None] * heard**2).sum() / (BANDS * active.sum() + 1)
    presence = optax.sigmoid_binary_cross_entropy(logits[..., BANDS], speaks)
    return shape + 8 * power + 0.1 * (active * presence).sum() / (active.sum() + 1)


if __name__ == "__main__":
    steps, seed = (int(value) for value in (sys.argv[3:] + ["1700", "1"][len(sys.argv) - 3 :])[:2])
    data = load(sys.argv[1])
    kept = max(16, len(data[0]) // 20)
    print(data[0].shape, "kept for validation:", kept, flush=True)
    rng = np.random.default_rng(seed)
    parameters = initial(rng)
    print(sum(x.size for x in jax.tree.leaves(parameters)), "weights", flush=True)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(2e-3, steps)))
    state = optimiser.init(parameters)

    @jax.jit
    def step(parameters, state, *batch):
        value, gradient = jax.value_and_grad(loss)(parameters, *batch)
        change, state = optimiser.update(gradient, state)
        return optax.apply_updates(parameters, change), state, value

    validate, held = jax.jit(loss), [jnp.array(x[:kept].swapaxes(0, 1)) for x in data]
    start, values = time.time(), []
    for number in range(1, steps + 1):
        calls = rng.integers(kept, len(data[0]), BATCH)
        first = 0 if rng.random() < 0.4 else rng.integers(0, data[0].shape[1] - FRAMES + 1)
        batch = [x[calls, first : first + FRAMES].swapaxes(0, 1) for x in data]
        batch[0] = coloured(batch[0], rng)
        parameters, state, value = step(parameters, state, *batch)
        values.append(float(value))
        if number % 100 == 0 or number == steps:
            print(f"{number} {time.time() - start:.0f} s: {np.mean(values[-100:]):.5f}, validation {float(validate(parameters, *held)):.5f}", flush=True)
            np.savez(sys.argv[2], **{name: np.array(x) for name, x in parameters.items()})
