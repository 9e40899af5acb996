"""Rounds matrices to 4 bits by what their inputs are like, and packs them."""
import numpy as np

BLOCKS, TILE = 4, 32
LOW, HIGH = -8, 7


def scales_of(weights, importance):
    """Scale of each row by which its rounding error, weighted, is least."""
    peak = np.abs(weights).max(1)
    best, scales = np.full(len(weights), np.inf), np.zeros(len(weights))
    for part in np.linspace(0.4, 1.05, 27):
        for sign in (1, -1):
            scale = sign * np.maximum(peak * part / 7.5, 1e-12)
            rounded = np.clip(np.round(weights / scale[:, None]), LOW, HIGH) * scale[:, None]
            error = ((rounded - weights) ** 2 * importance).sum(1)
            better = error < best
            best[better], scales[better] = error[better], scale[better]
    return scales


def values(codes, scales):
    return (codes.reshape(len(codes), BLOCKS, -1) * scales[..., None]).reshape(codes.shape)


def quantise(weights, products, damping):
    """Codes and scales of weights (a row for each output), by the sums of the products of all pairs of inputs."""
    weights, products = weights.astype(np.float64), products.astype(np.float64)
    inputs = len(products)
    products = products + damping * np.mean(np.diag(products)) * np.eye(inputs)
    block = inputs // BLOCKS
    codes, scales = np.zeros(weights.shape), np.zeros((len(weights), BLOCKS))
    left, passed_on = weights.copy(), np.linalg.cholesky(np.linalg.inv(products)).T
    for index in range(BLOCKS):
        part = slice(index * block, (index + 1) * block)
        scales[:, index] = scales_of(left[:, part], np.diag(products)[part])
        for column in range(part.start, part.stop):
            scale = scales[:, index]
            codes[:, column] = np.clip(np.round(left[:, column] / scale), LOW, HIGH)
            error = (left[:, column] - codes[:, column] * scale) / passed_on[column, column]
            left[:, column:] -= np.outer(error, passed_on[column, column:])
    wanted = weights @ products
    for _ in range(4):
        parts = np.zeros((len(weights), BLOCKS, inputs))
        for index in range(BLOCKS):
            part = slice(index * block, (index + 1) * block)
            parts[:, index, part] = codes[:, part]
        system = np.einsum("kbi,kci->kbc", parts @ products, parts)
        system += 1e-9 * np.einsum("kbb->k", system)[:, None, None] * np.eye(BLOCKS)
        scales = np.linalg.solve(system, np.einsum("kbi,ki->kb", parts, wanted)[..., None])[..., 0]
        missing = wanted - values(codes, scales) @ products
        for column in range(inputs):
            scale = scales[:, column // block]
            best = codes[:, column] + missing[:, column] / (products[column, column] * scale)
            change = np.clip(np.round(best), LOW, HIGH) - codes[:, column]
            rows = change != 0
            missing[rows] -= np.outer((change * scale)[rows], products[column])
            codes[rows, column] += change[rows]
    error = weights - values(codes, scales)
    power = lambda x: np.einsum("ij,jk,ik->", x, products, x)
    print(f"outputs {10 * np.log10(power(weights) / power(error)):.1f} dB above the error", flush=True)
    return codes, scales


def pack(codes):
    """Tiles of 32 outputs; in each steps of 8 inputs; in each 16 outputs, then 16 more: bytes of 4 inputs of each, the next 4 in
    their high nibbles."""
    outputs, inputs = codes.shape
    nibbles = (codes - LOW).astype(np.uint8).reshape(outputs // TILE, 2, TILE // 2, inputs // 8, 2, 4)
    low, high = nibbles.transpose(4, 0, 3, 1, 2, 5)
    return (low | high << 4).tobytes()


def pack_scales(scales):
    """For each tile the scales of each block."""
    return scales.astype("<f4").reshape(-1, TILE, BLOCKS).transpose(0, 2, 1).tobytes()


def read_products(path):
    """Of the matrices of RNNoise 0.2 (384 inputs), and of those of Hush (256), in the order in which a frame needs them."""
    floats = np.fromfile(path, "<f4")
    first = floats[:7 * 384 * 384].reshape(7, 384, 384)
    return first, floats[first.size:].reshape(10, 256, 256)
