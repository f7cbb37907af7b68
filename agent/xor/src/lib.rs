//! The loop that touches every byte: input XOR kernel, the kernel repeated from the file's first byte on.
//!
//! The same plain loop is compiled for several instruction sets, and the best that the processor has is chosen at run
//! time, so that one binary serves every machine.

mod line;

use multiversion::multiversion;

use line::LINE_BYTES;

/// So much is done in one go where the kernel is read from where it lies. Data and kernel stay in the first-level cache (32
/// KiB or more) meanwhile; 4 KiB measured faster than 16 (78 GB/s to 59 on an EPYC of Zen 4), and shorter ones lose to the
/// loop around them.
const RUN_BYTES: usize = 4096;

/// Where the same stretch of a long kernel meets several of its repetitions: so long, and so many. Measured as above: 57 GB/s
/// with 4 KiB on seven, 64 with this.
const STRETCH_BYTES: usize = 2048;
const REPETITIONS: usize = 8;

/// So much is loaded before any of it is stored: four registers of 32 bytes in place, where each line is touched once, and
/// eight from one buffer to another.
const IN_PLACE_BYTES: usize = 128;
const ASIDE_BYTES: usize = 256;

/// A kernel longer than this does not stay in the first-level cache beside the data.
const LONG_BYTES: usize = 16 << 10;

/// Repetitions so far apart are done side by side at least: nearer ones meet in the same sets of the first-level cache (8 KB
/// measured 75 GB/s, 32 KB and more 81).
const GAP_BYTES: usize = 32 << 10;

/// Below so many strides the aligned copy of the kernel is not worth its making.
const STRIDES_LEAST: usize = 4;

/// An output from here on is written past the caches: it fits none (three quarters of 32 MiB, what a core of a server can
/// have of the last level; the C library's memcpy takes the same part).
const STREAM_BYTES: usize = 24 << 20;

/// A kernel, ready for use.
pub struct Kernel {
    /// The kernel, repeated until a whole run or stride can begin at each of its bytes.
    tile: Vec<u8>,
    period: usize,
    way: Way,
}

/// How the kernel's lines are met with those of the data. The data's are always whole ones; a load of the kernel that touches
/// two lines costs as much as two loads.
#[derive(Clone, Copy)]
enum Way {
    /// After so many bytes, which are whole lines, the kernel is where it was, and so much of it stays in the first-level
    /// cache: from one aligned copy all of the data is done.
    Stride(usize),
    /// The kernel stays in the cache, but not at each of its distances from a line: what is so far apart meets the same
    /// bytes of it and is done side by side, each load of the kernel serving twice.
    Pairs(usize),
    /// The kernel does not stay in the first-level cache: a stretch of it is applied to several repetitions.
    Stretches,
}

impl Way {
    fn of(period: usize) -> Self {
        let common = (0..)
            .map(|twos| 1 << twos)
            .take_while(|n| *n <= LINE_BYTES && period.is_multiple_of(*n))
            .last()
            .unwrap_or(1);
        // The shortest run of whole lines and whole kernels.
        let both = (period / common).saturating_mul(LINE_BYTES);
        match both {
            _ if period > LONG_BYTES => Self::Stretches,
            0..=LONG_BYTES => Self::Stride(both * (RUN_BYTES / both).max(1)),
            _ => Self::Pairs(both * (GAP_BYTES / both).max(1)),
        }
    }
}

impl Kernel {
    /// Of these bytes. None where there are none: what is repeated needs at least one.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let period = bytes.len();
        if period == 0 {
            return None;
        }
        let way = Way::of(period);
        let more = if let Way::Stride(stride) = way { stride.max(RUN_BYTES) } else { RUN_BYTES };
        Some(Self { tile: bytes.iter().copied().cycle().take(period + more).collect(), period, way })
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
        if data.len() >= STREAM_BYTES {
            streamed(data, out, self, self.phase(offset));
        } else {
            aside(data, out, self, self.phase(offset));
        }
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

/// `data` with `key` from its beginning on; the longer one's rest is left alone.
#[inline(always)]
fn mix(data: &mut [u8], key: &[u8]) {
    for (byte, key) in data.iter_mut().zip(key) {
        *byte ^= key;
    }
}

/// The same from one buffer to another.
#[inline(always)]
fn mix_into(data: &[u8], out: &mut [u8], key: &[u8]) {
    for ((to, byte), key) in out.iter_mut().zip(data).zip(key) {
        *to = byte ^ key;
    }
}

/// `data` with `key`: a value of its own, so that all of it is loaded before any is stored.
#[inline(always)]
fn mixed<const N: usize>(data: &[u8; N], key: &[u8; N]) -> [u8; N] {
    let mut block = *data;
    mix(&mut block, key);
    block
}

// AVX-512 is left out: where there is any, the loop was bound by the caches and by memory already, and measured no faster
// with it (scripts/bench data shows the loop beside one that has it). The baseline of x86-64 is SSE2, that of arm64 NEON.
#[multiversion(targets("x86_64+avx2", "aarch64+neon"))]
fn in_place(data: &mut [u8], kernel: &Kernel, mut phase: usize) {
    #[inline(always)]
    fn strides(data: &mut [u8], key: &[u8]) {
        for run in data.chunks_mut(key.len()) {
            let done = run.len() / IN_PLACE_BYTES * IN_PLACE_BYTES;
            let ((blocks, rest), (keys, _)) = (run.as_chunks_mut::<IN_PLACE_BYTES>(), key.as_chunks());
            blocks.iter_mut().zip(keys).for_each(|(block, key)| *block = mixed(block, key));
            mix(rest, &key[done..]);
        }
    }

    /// Pairs of stretches `gap` apart, and what is left over; where the kernel was at the first byte, it is after a pair.
    #[inline(always)]
    fn pairs<'a>(
        mut data: &'a mut [u8],
        Kernel { tile, period, .. }: &Kernel,
        gap: usize,
        mut phase: usize,
    ) -> &'a mut [u8] {
        while data.len() >= 2 * gap {
            let (one, rest) = data.split_at_mut(gap);
            let (other, rest) = rest.split_at_mut(gap);
            data = rest;
            for (one, other) in one.chunks_mut(RUN_BYTES).zip(other.chunks_mut(RUN_BYTES)) {
                for ((one, other), key) in one.iter_mut().zip(&mut *other).zip(&tile[phase..]) {
                    *one ^= key;
                    *other ^= key;
                }
                phase = (phase + other.len()) % period;
            }
        }
        data
    }

    #[inline(always)]
    fn stretches(data: &mut [u8], Kernel { tile, period, .. }: &Kernel) {
        for block in data.chunks_mut(REPETITIONS * period) {
            for from in (0..*period).step_by(STRETCH_BYTES) {
                for row in block.chunks_mut(*period) {
                    // From line to line, but for the row's own ends.
                    let edge = |at: usize| match row.get(at..) {
                        _ if at == 0 => 0,
                        Some(rest) if at < *period => at + to_line(rest, rest.len()),
                        _ => row.len(),
                    };
                    let (begin, end) = (edge(from), edge(from + STRETCH_BYTES));
                    mix(&mut row[begin..end], &tile[begin..end]);
                }
            }
        }
    }

    #[inline(always)]
    fn runs(data: &mut [u8], Kernel { tile, period, .. }: &Kernel, mut phase: usize) {
        for run in data.chunks_mut(RUN_BYTES) {
            mix(run, &tile[phase..]);
            phase = (phase + RUN_BYTES) % period;
        }
    }

    let Kernel { tile, period, way } = kernel;
    if matches!(way, Way::Stretches) && data.len() >= 2 * period {
        let (head, rest) = data.split_at_mut((period - phase) % period);
        runs(head, kernel, phase);
        return stretches(rest, kernel);
    }
    let (head, rest) = data.split_at_mut(to_line(data, data.len()));
    mix(head, &tile[phase..]);
    phase = (phase + head.len()) % period;
    match *way {
        Way::Stride(stride) if rest.len() >= STRIDES_LEAST * stride => {
            let mut copy = [0; LONG_BYTES + LINE_BYTES];
            strides(rest, aligned(&mut copy, &tile[phase..phase + stride]));
        }
        Way::Pairs(gap) => runs(pairs(rest, kernel, gap, phase), kernel, phase),
        Way::Stride(_) | Way::Stretches => runs(rest, kernel, phase),
    }
}

#[multiversion(targets("x86_64+avx2", "aarch64+neon"))]
fn aside(data: &[u8], out: &mut [u8], Kernel { tile, period, .. }: &Kernel, mut phase: usize) {
    #[inline(always)]
    fn run(data: &[u8], out: &mut [u8], key: &[u8]) {
        let ((blocks, rest), (outs, out_rest)) = (data.as_chunks::<ASIDE_BYTES>(), out.as_chunks_mut::<ASIDE_BYTES>());
        let (keys, _) = key.as_chunks();
        blocks.iter().zip(outs).zip(keys).for_each(|((block, out), key)| *out = mixed(block, key));
        mix_into(rest, out_rest, &key[data.len() - rest.len()..]);
    }

    let cut = to_line(out, out.len());
    let ((head, rest), (head_out, rest_out)) = (data.split_at(cut), out.split_at_mut(cut));
    mix_into(head, head_out, &tile[phase..]);
    phase = (phase + cut) % period;
    for (data, out) in rest.chunks(RUN_BYTES).zip(rest_out.chunks_mut(RUN_BYTES)) {
        run(data, out, &tile[phase..]);
        phase = (phase + RUN_BYTES) % period;
    }
}

/// As `aside`, past the caches.
#[multiversion(targets("x86_64+avx2", "aarch64+neon"))]
fn streamed(data: &[u8], out: &mut [u8], Kernel { tile, period, .. }: &Kernel, mut phase: usize) {
    let (head_out, lines, tail_out) = line::lines(out);
    let (head, rest) = data.split_at(head_out.len());
    let (blocks, tail) = rest.as_chunks::<LINE_BYTES>();
    mix_into(head, head_out, &tile[phase..]);
    phase = (phase + head.len()) % period;
    const RUN_LINES: usize = RUN_BYTES / LINE_BYTES;
    for (blocks, lines) in blocks.chunks(RUN_LINES).zip(lines.chunks_mut(RUN_LINES)) {
        let (keys, _) = tile[phase..].as_chunks();
        blocks.iter().zip(&mut *lines).zip(keys).for_each(|((block, line), key)| line.stream(mixed(block, key)));
        phase = (phase + lines.len() * LINE_BYTES) % period;
    }
    line::done();
    mix_into(tail, tail_out, &tile[phase..]);
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
        let mut past = vec![0; skew + data.len()];
        streamed(data, &mut past[skew..], &ready, ready.phase(offset));
        assert!(past[skew..] == wanted, "past the caches: {what}");
        assert!(
            here[..skew].iter().chain(&there[..skew]).chain(&past[..skew]).all(|byte| *byte == 0),
            "beyond the data: {what}"
        );
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
