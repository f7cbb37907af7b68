//! The reference processor: each output byte is the input byte XOR the kernel's, the kernel repeated over the file.

use std::sync::OnceLock;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use dayfly_shared::bucket::JobBucket;
use futures::StreamExt;

use super::{Failure, Processor, TaskIo};

/// The kernel is tiled to at least so many bytes, so that the inner loop runs long whatever the kernel's length.
const TILE_BYTES: usize = 4096;

/// XOR with a kernel that lies beside the job's other objects.
pub struct Xor {
    kernel_name: String,
    tile: OnceLock<Tile>,
}

/// The kernel, repeated a whole number of times.
struct Tile(Vec<u8>);

impl Tile {
    fn of(kernel: &[u8]) -> Self {
        Self(kernel.repeat(TILE_BYTES.div_ceil(kernel.len().max(1)).max(1)))
    }
}

/// XORs `data`, which lies `offset` bytes into its file, with `tile` repeated.
pub fn xor_in_place(data: &mut [u8], tile: &[u8], offset: u64) {
    if tile.is_empty() {
        return;
    }
    let start = usize::try_from(offset % tile.len() as u64).unwrap_or(0);
    let (head, rest) = data.split_at_mut((tile.len() - start).min(data.len()));
    let mix = |data: &mut [u8], tile: &[u8]| data.iter_mut().zip(tile).for_each(|(d, k)| *d ^= k);
    mix(head, &tile[start..]);
    rest.chunks_mut(tile.len()).for_each(|chunk| mix(chunk, tile));
}

impl Xor {
    /// With the kernel of that name.
    pub fn new(kernel_name: String) -> Self {
        Self { kernel_name, tile: OnceLock::new() }
    }
}

#[async_trait]
impl Processor for Xor {
    async fn prepare(&self, job: &JobBucket) -> Result<(), Failure> {
        let key = job.keys.kernel(&self.kernel_name);
        let Some((_, kernel)) = job.read(&key).await? else {
            return Err(Failure::Refused(format!(
                "the kernel {} does not exist; put it there (dayfly seed --kernel FILE), or name another in job.json",
                job.place(&key)
            )));
        };
        if kernel.is_empty() {
            return Err(Failure::Refused(format!(
                "the kernel {} is empty; it needs at least one byte (put another there: dayfly seed --kernel FILE)",
                job.place(&key)
            )));
        }
        let _ = self.tile.set(Tile::of(&kernel));
        Ok(())
    }

    async fn process(&self, task: &mut TaskIo) -> Result<(), Failure> {
        let Some(Tile(tile)) = self.tile.get() else {
            return Err(Failure::Refused("the xor processor was not made ready".to_owned()));
        };
        let mut input = task.open_input().await?;
        let mut offset = 0;
        while let Some(piece) = input.body.next().await {
            let piece: Bytes = piece?;
            let mut piece = piece.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
            xor_in_place(&mut piece, tile, offset);
            offset += piece.len() as u64;
            task.write(piece.freeze()).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_kernel_any_cut_gives_the_same() {
        for kernel_len in [1, 3, 7, 64, 999, 1000, 4096, 5000] {
            let kernel: Vec<u8> = (0..kernel_len).map(|n| (n * 7 + 13) as u8).collect();
            let data: Vec<u8> = (0..20_000u32).map(|n| (n >> 3) as u8).collect();
            let expected: Vec<u8> = data.iter().enumerate().map(|(n, b)| b ^ kernel[n % kernel.len()]).collect();
            let Tile(tile) = Tile::of(&kernel);
            for cut in [0, 1, 999, 1000, 4095, 4097, 19_999, 20_000] {
                let mut out = data.clone();
                let (one, two) = out.split_at_mut(cut);
                xor_in_place(one, &tile, 0);
                xor_in_place(two, &tile, cut as u64);
                assert_eq!(out, expected, "kernel {kernel_len}, cut {cut}");
            }
        }
    }
}
