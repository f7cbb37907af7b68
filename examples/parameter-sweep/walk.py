"""A random walk over Rastrigin's function (Rastrigin, Systems of Extremal Control, 1974), whose deepest point is 0 at 0, 0."""

import argparse
import math
import random


def depth(x, y):
    return 20 + sum(c * c - 10 * math.cos(2 * math.pi * c) for c in (x, y))


parser = argparse.ArgumentParser()
parser.add_argument("--step", type=float, required=True)
parser.add_argument("--seed", type=int, required=True)
asked = parser.parse_args()

dice = random.Random(asked.seed)
here = (dice.uniform(-5, 5), dice.uniform(-5, 5))
for _ in range(200_000):
    there = tuple(c + dice.gauss(0, asked.step) for c in here)
    if depth(*there) < depth(*here):
        here = there
print(f"step,seed,x,y,depth\n{asked.step},{asked.seed},{here[0]:.6f},{here[1]:.6f},{depth(*here):.6f}")
