"""`static_tables.py AGENT`: that the file holds what S3's checksums are computed by on a processor without an instruction for it.

The linker leaves other checksums' tables out (agent/discard.ld), by their names: one left out too many would compute wrong
sums on such a processor, and nowhere else."""

import sys

# Reflected polynomials, from the CRC catalogue (reveng.sourceforge.io): the names are S3's. (Of CRC32's table crc32fast has a copy
# of its own, so that the one of crc-fast is not shown to be there.)
NEEDED = {"CRC32": (0xEDB88320, 4), "CRC32C": (0x82F63B78, 4), "CRC64NVME": (0x9A6C9329AC4BC9B5, 8)}
# So many entries that they are in the file for no other reason.
ENTRIES = 256


def table(polynomial):
    """What each byte adds."""
    for byte in range(ENTRIES):
        for _ in range(8):
            byte = byte >> 1 ^ (polynomial if byte & 1 else 0)
        yield byte


with open(sys.argv[1], "rb") as file:
    agent = file.read()
for name, (polynomial, width) in NEEDED.items():
    if b"".join(entry.to_bytes(width, "little") for entry in table(polynomial)) not in agent:
        sys.exit(f"error: {sys.argv[1]} lacks the table of {name}; see agent/discard.ld")
print("tables: " + ", ".join(NEEDED))
