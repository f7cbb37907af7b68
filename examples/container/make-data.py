"""Makes up ten files of 2,000,000 random bytes, and a kernel of 1,000."""

import pathlib
import random
import sys

folder = pathlib.Path(sys.argv[1])
folder.mkdir()
for n in range(10):
    (folder / f"in{n}.dat").write_bytes(random.Random(n).randbytes(2_000_000))
(folder / "kernel.dat").write_bytes(random.Random("kernel").randbytes(1_000))
