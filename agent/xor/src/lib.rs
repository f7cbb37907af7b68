//! XOR with a kernel that is repeated over the data, any cut of it.

/// The kernel is tiled to at least so many bytes, so that the inner loop runs long whatever the kernel's length.
const TILE_BYTES: usize = 4096;

/// The kernel, repeated a whole number of times.
pub struct Tile(Vec<u8>);

impl Tile {
    /// Of this kernel.
    pub fn of(kernel: &[u8]) -> Self {
        Self(kernel.repeat(TILE_BYTES.div_ceil(kernel.len().max(1)).max(1)))
    }
}

/// XORs `data`, which lies `offset` bytes into its file, with the kernel repeated.
// Inlined into code that is built small, it would be built small.
#[inline(never)]
pub fn xor_in_place(data: &mut [u8], tile: &Tile, offset: u64) {
    let Tile(tile) = tile;
    if tile.is_empty() {
        return;
    }
    let start = usize::try_from(offset % tile.len() as u64).unwrap_or(0);
    let (head, rest) = data.split_at_mut((tile.len() - start).min(data.len()));
    let mix = |data: &mut [u8], tile: &[u8]| data.iter_mut().zip(tile).for_each(|(d, k)| *d ^= k);
    mix(head, &tile[start..]);
    rest.chunks_mut(tile.len()).for_each(|chunk| mix(chunk, tile));
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
            let tile = Tile::of(&kernel);
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
