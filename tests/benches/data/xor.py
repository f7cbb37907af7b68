"""The XOR loop beside memcpy, a plain C loop and numpy: interleaved, medians."""

import statistics
import time

import numpy

from processes import Timer

KERNELS = [1, 3, 7, 64, 999, 1000, 4096, 65_537]


def passes(size):
    """So many that one turn takes some ten milliseconds, and what lies in the cache stays there."""
    return max(1, (128 << 20) // size)


class Numpy:
    """The same turns by numpy: in place with the kernel tiled beforehand, and as people write it."""

    def __init__(self):
        self.held = {}

    def __call__(self, how, kernel, size, count):
        if (kernel, size) not in self.held:
            self.held.clear()
            data = numpy.arange(size, dtype=numpy.uint8)
            key = numpy.arange(kernel, dtype=numpy.uint8)
            self.held[kernel, size] = data, key, numpy.resize(key, size)
        data, key, tiled = self.held[kernel, size]
        begun = time.perf_counter_ns()
        for _ in range(count):
            if how == "best":
                numpy.bitwise_xor(data, tiled, out=data)
            else:
                data ^ numpy.resize(key, data.shape)
        return (time.perf_counter_ns() - begun) / count


def measure(worker, c_loop, sizes, rounds, sweep_rounds):
    dayfly, plain, by_numpy = Timer(worker), Timer(c_loop) if c_loop else None, Numpy()
    figures = {"sizes": {}, "kernels": {}}
    for size in sizes:
        count = passes(size)
        turns = {
            "memcpy": lambda: dayfly("copy", 1000, 0, size, count),
            "in place": lambda: dayfly("in", 1000, 0, size, count),
            "out of place": lambda: dayfly("out", 1000, 0, size, count),
            "numpy, best": lambda: by_numpy("best", 1000, size, count),
        }
        if plain:
            turns["C, in place"] = lambda: plain("in", 1000, 0, size, count)
            turns["C, out of place"] = lambda: plain("out", 1000, 0, size, count)
        times = {name: [] for name in turns}
        for turn in turns.values():
            turn()
        for _ in range(rounds):
            for name, turn in turns.items():
                times[name].append(turn())
        # A hundred times slower, and steady: a few turns will do.
        times["numpy, as written"] = [by_numpy("written", 1000, size, max(1, count // 16)) for _ in range(max(3, rounds // 7))]
        figures["sizes"][size] = summary(times, size)
    figures["kernels"] = {size: sweep(dayfly, size, sweep_rounds) for size in sizes}
    dayfly.stop()
    if plain:
        plain.stop()
    return figures


def summary(times, size):
    """GB/s of each, and each one's ratio to memcpy: the median of the pairs' ratios, where there are pairs."""
    copies = times["memcpy"]
    lines = {}
    for name, each in times.items():
        paired = len(each) == len(copies)
        ratio = statistics.median(c / t for c, t in zip(copies, each)) if paired else statistics.median(copies) / statistics.median(each)
        lines[name] = {"gbps": size / statistics.median(each), "to_memcpy": ratio}
    ours = times["in place"]
    for name in ("numpy, best", "numpy, as written"):
        each = times[name]
        paired = len(each) == len(ours)
        lines[name]["ours_to_it"] = statistics.median(t / o for t, o in zip(each, ours)) if paired else statistics.median(each) / statistics.median(ours)
    return lines


def sweep(dayfly, size, rounds):
    """Every kernel, from several places in its file on: interleaved; each as a part of the best in the same round."""
    cases = [(kernel, offset) for kernel in KERNELS for offset in (0, kernel // 2 + 1, 12_345)]
    count = max(1, passes(size) // 4)
    times = {case: [] for case in cases}
    for _ in range(rounds):
        for case in cases:
            times[case].append(dayfly("in", case[0], case[1], size, count))
    medians = {case: statistics.median(each) for case, each in times.items()}
    best = min(medians.values())
    return {kernel: {"gbps": size / max(medians[c] for c in cases if c[0] == kernel),
                     "of_best": min(best / medians[c] for c in cases if c[0] == kernel)} for kernel in KERNELS}
