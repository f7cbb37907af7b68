//! The disk image that `ami/build` makes, booted in QEMU without hardware acceleration: its disk on NVMe, the metadata
//! service at its own address, the bucket on the host. What a guest says is its serial console.
//!
//! `scripts/test-ami` builds the image and runs these; by themselves they are ignored, as each boots a machine or two.

mod claims;
mod disks;
mod ends;
mod equipped;
mod figures;
mod guest;
mod programs;
