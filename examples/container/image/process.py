"""XOR of a data file with a kernel that is repeated over it.

Both are in /data, where the result goes: in3.dat and kernel.dat make out3.dat. The file's name is the argument.
"""

import pathlib
import sys

DATA = pathlib.Path("/data")


def xor(data: bytes, kernel: bytes) -> bytes:
    """The kernel repeated over the data; as whole numbers, which is quicker than byte by byte."""
    mask = (kernel * (len(data) // len(kernel) + 1))[: len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(mask, "big")).to_bytes(len(data), "big")


def main() -> int:
    name = sys.argv[1]
    kernel = (DATA / "kernel.dat").read_bytes()
    data = (DATA / name).read_bytes()
    (DATA / name.replace("in", "out", 1)).write_bytes(xor(data, kernel))
    print(f"SUCCESS {name}: {len(data)} bytes, kernel of {len(kernel)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
