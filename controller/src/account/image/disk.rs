//! A raw disk image in a file: which of its blocks hold anything, and their checksums.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::failure::{Failure, Result};

/// The one size of block that there is (EBS direct APIs, "Concepts": 512 KiB).
pub const BLOCK: usize = 512 * 1024;
/// Blocks in a GiB, the unit of volumes.
const BLOCKS_A_GIB: u64 = (1 << 30) / BLOCK as u64;
/// The largest volume (EBS direct APIs, StartSnapshot, VolumeSize).
const MOST_GIB: u64 = 65_536;

/// What files that hold a disk otherwise begin with.
const NOT_RAW: [(&[u8], &str); 8] = [
    (b"\x1f\x8b", "compressed by gzip"),
    (b"\xfd7zXZ\0", "compressed by xz"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd"),
    (b"BZh", "compressed by bzip2"),
    (b"PK\x03\x04", "a zip archive"),
    (b"QFI\xfb", "a qcow2 image"),
    (b"KDMV", "a VMDK image"),
    (b"conectix", "a VHD image"),
];

/// A block that holds something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its place, in units of [`BLOCK`].
    pub index: u32,
    /// SHA-256 of its bytes, zeros at the end of the file included.
    pub sha256: [u8; 32],
}

/// A disk that was read through.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    file: File,
    bytes: u64,
    blocks: Vec<Block>,
    bootable: bool,
}

impl Disk {
    /// Reads all of it. Blocks.
    ///
    /// # Errors
    /// No such file, one that is empty or no raw image, a read that fails.
    pub fn survey(path: &Path) -> Result<Self> {
        let wrong = |e: &io::Error| Failure::io("reading the image", path, e);
        let mut file = File::open(path).map_err(|e| wrong(&e))?;
        // A block device has no length of its own.
        let bytes = file.seek(SeekFrom::End(0)).map_err(|e| wrong(&e))?;
        let mut disk = Self { path: path.to_owned(), file, bytes, blocks: Vec::new(), bootable: false };
        if bytes > MOST_GIB << 30 {
            return Err(Failure::usage(format!("{} is larger than any volume can be", path.display())));
        }
        let zeros = vec![0; BLOCK];
        for index in 0..disk.total_blocks() {
            let block = disk.at(index).map_err(|e| wrong(&e))?;
            if index == 0 {
                disk.look(&block)?;
            }
            if block != zeros {
                disk.blocks.push(Block { index, sha256: Sha256::digest(&block).into() });
            }
        }
        if disk.blocks.is_empty() {
            return Err(Failure::usage(format!("{} is empty, or holds nothing but zeros", path.display()))
                .fix("build the image anew (ami/README.md)"));
        }
        Ok(disk)
    }

    fn look(&mut self, first: &[u8]) -> Result<()> {
        if let Some((_, what)) = NOT_RAW.iter().find(|(magic, _)| first.starts_with(magic)) {
            return Err(Failure::usage(format!("{} is {what}, and no raw disk", self.path.display()))
                .left("nothing was uploaded")
                .fix("unpack it first (xz -d, zstd -d), or: qemu-img convert -O raw"));
        }
        // A disk that boots by BIOS or has a partition table, GPT's too, ends its first sector so (UEFI specification,
        // "Protective MBR").
        self.bootable = first[510..512] == [0x55, 0xaa];
        Ok(())
    }

    /// The block's bytes, filled up with zeros behind the end of the file.
    fn at(&self, index: u32) -> io::Result<Vec<u8>> {
        let from = u64::from(index) * BLOCK as u64;
        let there = usize::try_from(self.bytes.saturating_sub(from)).unwrap_or(BLOCK).min(BLOCK);
        let mut block = vec![0; BLOCK];
        self.file.read_exact_at(&mut block[..there], from)?;
        Ok(block)
    }

    /// The bytes of a block, as they were when it was surveyed. Blocks.
    ///
    /// # Errors
    /// The file has changed, or cannot be read.
    pub fn read(&self, block: Block) -> Result<Bytes> {
        let bytes = self.at(block.index).map_err(|e| Failure::io("reading the image", &self.path, &e))?;
        if Sha256::digest(&bytes)[..] != block.sha256 {
            return Err(Failure::new(format!("{} was changed while it was uploaded", self.path.display()))
                .fix("run it again when nobody writes to the file; what was uploaded is found by its tag and removed by dayfly image prune"));
        }
        Ok(bytes.into())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its size.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Blocks that hold something, in order.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// What has to be sent, and what the snapshot is billed for.
    pub fn bytes_to_send(&self) -> u64 {
        self.blocks.len() as u64 * BLOCK as u64
    }

    /// All blocks, those of zeros too.
    pub fn total_blocks(&self) -> u32 {
        u32::try_from(self.bytes.div_ceil(BLOCK as u64)).unwrap_or(u32::MAX)
    }

    /// The smallest volume that it fits on, in GiB.
    pub fn gib(&self) -> u32 {
        u32::try_from(u64::from(self.total_blocks()).div_ceil(BLOCKS_A_GIB)).unwrap_or(u32::MAX).max(1)
    }

    /// Whether it has a boot sector or a partition table.
    pub fn bootable(&self) -> bool {
        self.bootable
    }

    /// The checksum of a whole snapshot (EBS direct APIs, CompleteSnapshot, "linear aggregation method"): SHA-256 of the
    /// blocks' SHA-256 in ascending order of their index; in Base64.
    pub fn checksum(&self) -> String {
        let mut all = Sha256::new();
        for block in &self.blocks {
            all.update(block.sha256);
        }
        STANDARD.encode(all.finalize())
    }

    /// What tells this disk from any other: its blocks, each with its place.
    pub fn fingerprint(&self) -> String {
        let mut all = Sha256::new();
        for block in &self.blocks {
            all.update(block.index.to_be_bytes());
            all.update(block.sha256);
        }
        hex(&all.finalize())
    }
}

/// Two digits a byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn file(parts: &[(u64, &[u8])], bytes: u64) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(bytes).unwrap();
        for (at, part) in parts {
            file.seek(SeekFrom::Start(*at)).unwrap();
            file.write_all(part).unwrap();
        }
        file
    }

    #[test]
    fn zeros_are_left_out_and_the_last_block_is_filled_up() {
        let end = 3 * BLOCK as u64;
        let disk = Disk::survey(file(&[(0, b"first"), (end, b"end")], end + 3).path()).unwrap();
        let indexes: Vec<u32> = disk.blocks().iter().map(|block| block.index).collect();
        assert_eq!((indexes, disk.total_blocks(), disk.gib()), (vec![0, 3], 4, 1));
        let last = disk.read(disk.blocks()[1]).unwrap();
        assert!(last.len() == BLOCK && last.starts_with(b"end") && last[3..].iter().all(|byte| *byte == 0));
        let digests: Vec<u8> = disk.blocks().iter().flat_map(|block| block.sha256).collect();
        assert_eq!(disk.checksum(), STANDARD.encode(Sha256::digest(digests)));
    }

    #[test]
    fn the_place_of_a_block_tells_disks_apart() {
        let at = |offset| Disk::survey(file(&[(offset, b"x")], 1 << 21).path()).unwrap();
        let (one, other) = (at(0), at(BLOCK as u64));
        assert_eq!(one.checksum(), other.checksum());
        assert_ne!(one.fingerprint(), other.fingerprint());
    }

    #[test]
    fn what_is_no_raw_disk_is_refused() {
        for (parts, word) in
            [(&[(0, &b"\xfd7zXZ\0\0\0"[..])][..], "xz"), (&[(0, b"QFI\xfb")], "qcow2"), (&[], "nothing but zeros")]
        {
            let failure = Disk::survey(file(parts, 4096).path()).unwrap_err();
            assert!(failure.to_string().contains(word), "{failure}");
        }
        assert!(Disk::survey(Path::new("/nowhere")).is_err());
    }

    #[test]
    fn a_file_that_changes_is_noticed() {
        let mut file = file(&[(0, b"before")], 4096);
        let disk = Disk::survey(file.path()).unwrap();
        file.rewind().unwrap();
        file.write_all(b"after!").unwrap();
        assert!(disk.read(disk.blocks()[0]).unwrap_err().to_string().contains("changed"));
    }
}
