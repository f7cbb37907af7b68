//! The loop that touches every byte: input XOR kernel, the kernel repeated from the file's first byte on.
//!
//! The same plain loop is compiled for several instruction sets, and the best that the processor has is chosen at run
//! time, so that one binary serves every machine.

use multiversion::multiversion;

/// So much is done in one go. Data and kernel stay in the first-level cache (32 KiB or more) meanwhile; 4 KiB measured
/// faster than 16 (78 GB/s to 59 on an EPYC with 48 KiB), and shorter ones lose to the loop around them.
const RUN_BYTES: usize = 4096;

/// Stores to addresses that are not a multiple of a cache line touch two lines each.
const LINE_BYTES: usize = 64;

/// A kernel longer than this does not stay in the first-level cache beside the data: then a stretch of it is applied to
/// several of its repetitions before the next stretch is.
const LONG_BYTES: usize = 16 << 10;

/// So much data is gone through in such strides at once, which stays in the second-level cache meanwhile.
const BLOCK_BYTES: usize = 512 << 10;

/// Below so many strides the aligned copy of the kernel is not worth its making.
const STRIDES_LEAST: usize = 4;

/// A kernel, ready for use.
pub struct Kernel {
    /// The kernel, repeated until a whole run or stride can begin at each of its bytes.
    tile: Vec<u8>,
    period: usize,
    /// After so many bytes, which are whole lines, the kernel is where it was: from one aligned copy of it all of the data
    /// can be done, and no load touches two lines. 0 where that would not stay in the first-level cache.
    stride: usize,
}

/// The shortest run of whole lines and whole kernels, repeated to the length of a run.
fn stride_of(period: usize) -> usize {
    let common =
        (0..).map(|twos| 1 << twos).take_while(|n| *n <= LINE_BYTES && period.is_multiple_of(*n)).last().unwrap_or(1);
    match (period / common).checked_mul(LINE_BYTES) {
        Some(stride) if stride <= LONG_BYTES => stride * (RUN_BYTES / stride).max(1),
        _ => 0,
    }
}

impl Kernel {
    /// Of these bytes. None where there are none: what is repeated needs at least one.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let period = bytes.len();
        let stride = if period > 0 { stride_of(period) } else { 0 };
        let tile = bytes.iter().copied().cycle().take(period + stride.max(RUN_BYTES)).collect();
        (period > 0).then_some(Self { tile, period, stride })
    }

    /// XORs `data`, which lies `offset` bytes into its file, in place.
    pub fn apply(&self, data: &mut [u8], offset: u64) {
        in_place(data, self, self.phase(offset));
    }

    /// XORs `data`, which lies `offset` bytes into its file, into `out`.
    ///
    /// # Panics
    /// Where `out` is not of the length of `data`.
    pub fn apply_into(&self, data: &[u8], out: &mut [u8], offset: u64) {
        assert_eq!(data.len(), out.len(), "the output has the input's length");
        aside(data, out, self, self.phase(offset));
    }

    /// Which byte of the kernel a file's byte at `offset` meets.
    fn phase(&self, offset: u64) -> usize {
        usize::try_from(offset % self.period as u64).unwrap_or(0)
    }
}

/// How much of `data`, at most `most`, lies before the next line begins.
#[inline(always)]
fn to_line(data: &[u8], most: usize) -> usize {
    data.as_ptr().align_offset(LINE_BYTES).min(most)
}

/// A copy of `key` that begins with a line.
#[inline(always)]
fn aligned<'a>(copy: &'a mut [u8; LONG_BYTES + LINE_BYTES], key: &[u8]) -> &'a [u8] {
    let from = to_line(copy, LINE_BYTES);
    let to = &mut copy[from..from + key.len()];
    to.copy_from_slice(key);
    to
}

// AVX-512 is left out: where there is any, the loop was bound by the caches and by memory already, and measured slower
// with it (scripts/bench data shows the loop beside one that has it). The baseline of x86-64 is SSE2, that of arm64 NEON.
#[multiversion(targets("x86_64+avx2", "aarch64+neon"))]
fn in_place(data: &mut [u8], kernel: &Kernel, phase: usize) {
    #[inline(always)]
    fn mix(data: &mut [u8], key: &[u8]) {
        for (byte, key) in data.iter_mut().zip(key) {
            *byte ^= key;
        }
    }

    #[inline(always)]
    fn runs(data: &mut [u8], Kernel { tile, period, stride }: &Kernel, mut phase: usize) {
        let (head, rest) = data.split_at_mut(to_line(data, data.len()));
        mix(head, &tile[phase..]);
        phase = (phase + head.len()) % period;
        if *stride > 0 && rest.len() >= STRIDES_LEAST * stride {
            let mut copy = [0; LONG_BYTES + LINE_BYTES];
            let key = aligned(&mut copy, &tile[phase..phase + stride]);
            return rest.chunks_mut(*stride).for_each(|run| mix(run, key));
        }
        for run in rest.chunks_mut(RUN_BYTES) {
            mix(run, &tile[phase..]);
            phase = (phase + RUN_BYTES) % period;
        }
    }

    let Kernel { tile, period, .. } = kernel;
    let period = *period;
    let rows = BLOCK_BYTES / period;
    if period <= LONG_BYTES || rows < 2 || data.len() < 2 * period {
        return runs(data, kernel, phase);
    }
    let (head, rest) = data.split_at_mut((period - phase) % period);
    runs(head, kernel, phase);
    for block in rest.chunks_mut(rows * period) {
        for from in (0..period).step_by(RUN_BYTES) {
            for row in block.chunks_mut(period) {
                // From line to line, but for the row's own ends.
                let edge = |at: usize| match row.get(at..) {
                    _ if at == 0 => 0,
                    Some(rest) if at < period => at + to_line(rest, rest.len()),
                    _ => row.len(),
                };
                let (begin, end) = (edge(from), edge(from + RUN_BYTES));
                mix(&mut row[begin..end], &tile[begin..end]);
            }
        }
    }
}

#[multiversion(targets("x86_64+avx2", "aarch64+neon"))]
fn aside(data: &[u8], out: &mut [u8], kernel: &Kernel, mut phase: usize) {
    #[inline(always)]
    fn mix(data: &[u8], out: &mut [u8], key: &[u8]) {
        for ((to, byte), key) in out.iter_mut().zip(data).zip(key) {
            *to = byte ^ key;
        }
    }

    let Kernel { tile, period, stride } = kernel;
    let cut = to_line(out, out.len());
    let ((head, rest), (head_out, rest_out)) = (data.split_at(cut), out.split_at_mut(cut));
    mix(head, head_out, &tile[phase..]);
    phase = (phase + cut) % period;
    if *stride > 0 && rest.len() >= STRIDES_LEAST * stride {
        let mut copy = [0; LONG_BYTES + LINE_BYTES];
        let key = aligned(&mut copy, &tile[phase..phase + stride]);
        return rest.chunks(*stride).zip(rest_out.chunks_mut(*stride)).for_each(|(run, out)| mix(run, out, key));
    }
    for (run, run_out) in rest.chunks(RUN_BYTES).zip(rest_out.chunks_mut(RUN_BYTES)) {
        mix(run, run_out, &tile[phase..]);
        phase = (phase + RUN_BYTES) % period;
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    /// What the loop is to do, byte by byte.
    fn reference(data: &[u8], kernel: &[u8], offset: u64) -> Vec<u8> {
        let phase = usize::try_from(offset % kernel.len() as u64).unwrap();
        data.iter().zip(kernel.iter().cycle().skip(phase)).map(|(byte, key)| byte ^ key).collect()
    }

    fn check(kernel: &[u8], data: &[u8], offset: u64, skew: usize, what: &str) {
        let wanted = reference(data, kernel, offset);
        let ready = Kernel::new(kernel).unwrap();
        // At every distance from a line's beginning.
        let mut here = vec![0; skew + data.len()];
        here[skew..].copy_from_slice(data);
        ready.apply(&mut here[skew..], offset);
        assert!(here[skew..] == wanted, "in place: {what}");
        let mut there = vec![0; skew + data.len()];
        ready.apply_into(data, &mut there[skew..], offset);
        assert!(there[skew..] == wanted, "out of place: {what}");
        assert!(here[..skew].iter().chain(&there[..skew]).all(|byte| *byte == 0), "beyond the data: {what}");
    }

    #[test]
    fn any_kernel_any_length_any_offset_is_as_the_reference() {
        let seed = std::env::var("DAYFLY_SEED").map_or(1, |seed| seed.parse().unwrap());
        let mut dice = StdRng::seed_from_u64(seed);
        let lengths = [1, 2, 3, 7, 63, 64, 65, 999, 1000, 4095, 4096, 4097, 16_384, 16_385, 65_537, 300_000];
        for round in 0..120 {
            let kernel_bytes =
                if round % 2 == 0 { lengths[round / 2 % lengths.len()] } else { dice.random_range(1..70_000) };
            let bytes = match round % 5 {
                0 => dice.random_range(0..200),
                1 => dice.random_range(0..20_000),
                2 => dice.random_range(0..200_000),
                3 => RUN_BYTES * dice.random_range(0..9),
                _ => dice.random_range(0..700_000),
            };
            let offset = match round % 3 {
                0 => 0,
                1 => dice.random_range(0..200_000),
                _ => dice.random_range(0..u64::MAX - 2_000_000),
            };
            let mut kernel = vec![0; kernel_bytes];
            dice.fill(&mut kernel[..]);
            let mut data = vec![0; bytes];
            dice.fill(&mut data[..]);
            let skew = dice.random_range(0..130);
            let what = format!("kernel {kernel_bytes}, {bytes} bytes at {offset}, skew {skew}; DAYFLY_SEED={seed}");
            check(&kernel, &data, offset, skew, &what);
        }
    }

    #[test]
    fn a_stream_that_resumes_anywhere_comes_to_the_same() {
        let kernel: Vec<u8> = (0..65_537_u32).map(|n| (n * 7 + 13) as u8).collect();
        let data: Vec<u8> = (0..500_000_u32).map(|n| (n >> 3) as u8).collect();
        let ready = Kernel::new(&kernel).unwrap();
        let wanted = reference(&data, &kernel, 0);
        for piece in [1000, 4096, 65_537, 131_074, 262_144, 499_999] {
            let mut out = data.clone();
            let mut offset = 0;
            for part in out.chunks_mut(piece) {
                ready.apply(part, offset);
                offset += part.len() as u64;
            }
            assert!(out == wanted, "in pieces of {piece}");
        }
    }

    #[test]
    fn a_kernel_has_at_least_one_byte() {
        assert!(Kernel::new(&[]).is_none());
    }
}
