//! MD5 (RFC 1321), the ETag of an object that was put in one piece: of one body, or of two at once.
//!
//! Each of its steps waits for the one before, so that one body leaves half of a core idle: a second one in the same loop
//! costs hardly anything. It tells that a body is the same, and is no protection against people.
//!
//! A crate of its own, so that it can be compiled for speed where what surrounds it is compiled for size.

mod steps;

use steps::State;

/// A, B, C and D before the first block (RFC 1321, section 3.3).
const START: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
/// It is taken in by blocks of so many bytes.
pub const BLOCK_BYTES: usize = 64;

/// An MD5 on its way.
#[derive(Clone, Debug)]
pub struct Md5 {
    state: [u32; 4],
    /// What does not fill a block yet: the first `bytes % BLOCK_BYTES` of it.
    rest: [u8; BLOCK_BYTES],
    bytes: u64,
}

impl Default for Md5 {
    fn default() -> Self {
        Self { state: START, rest: [0; BLOCK_BYTES], bytes: 0 }
    }
}

impl Md5 {
    /// Of bytes in memory.
    pub fn of(bytes: &[u8]) -> [u8; 16] {
        let mut md5 = Self::default();
        md5.update(bytes);
        md5.finish()
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        let bytes = self.fill(bytes);
        let (blocks, rest) = bytes.as_chunks();
        self.take(blocks);
        self.keep(rest);
    }

    /// The digest of all that came.
    pub fn finish(mut self) -> [u8; 16] {
        let bits = self.bytes.wrapping_mul(8).to_le_bytes();
        // A one, then zeros up to the last eight bytes of a block, which tell the length (sections 3.1 and 3.2).
        let mut end = [0; BLOCK_BYTES];
        end[0] = 0x80;
        let gap = (2 * BLOCK_BYTES - 8 - self.filled()) % BLOCK_BYTES;
        self.update(if gap == 0 { &end } else { &end[..gap] });
        self.update(&bits);
        let mut digest = [0; 16];
        for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(self.state) {
            *bytes = word.to_le_bytes();
        }
        digest
    }

    fn filled(&self) -> usize {
        // Less than a block, so it fits.
        (self.bytes % BLOCK_BYTES as u64) as usize
    }

    /// Completes a block that was begun; gives back what is left.
    fn fill<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let filled = self.filled();
        if filled == 0 {
            return bytes;
        }
        let (now, left) = bytes.split_at(bytes.len().min(BLOCK_BYTES - filled));
        self.rest[filled..filled + now.len()].copy_from_slice(now);
        self.bytes += now.len() as u64;
        if filled + now.len() == BLOCK_BYTES {
            one(&mut self.state, &[self.rest]);
        }
        left
    }

    fn take(&mut self, blocks: &[[u8; BLOCK_BYTES]]) {
        one(&mut self.state, blocks);
        self.bytes += size_of_val(blocks) as u64;
    }

    /// What is less than a block, where none was begun or none is left.
    fn keep(&mut self, rest: &[u8]) {
        if !rest.is_empty() {
            self.rest[..rest.len()].copy_from_slice(rest);
            self.bytes += rest.len() as u64;
        }
    }
}

/// Takes the next bytes of two bodies, in little more time than those of one. What is longer than the other is taken by
/// itself.
pub fn update_both(md5s: [&mut Md5; 2], bytes: [&[u8]; 2]) {
    let [first, second] = md5s;
    let (one_blocks, one_rest) = first.fill(bytes[0]).as_chunks();
    let (two_blocks, two_rest) = second.fill(bytes[1]).as_chunks();
    let both = one_blocks.len().min(two_blocks.len());
    let (one_now, one_left) = one_blocks.split_at(both);
    let (two_now, two_left) = two_blocks.split_at(both);
    two(&mut first.state, &mut second.state, one_now, two_now);
    for (md5, left, rest) in [(first, one_left, one_rest), (second, two_left, two_rest)] {
        md5.bytes += (both * BLOCK_BYTES) as u64;
        md5.take(left);
        md5.keep(rest);
    }
}

fn one(state: &mut [u32; 4], blocks: &[[u8; BLOCK_BYTES]]) {
    let mut now: State<1> = state.map(|word| [word]);
    steps::take(&mut now, [blocks], blocks.len());
    *state = now.map(|[word]| word);
}

fn two(first: &mut [u32; 4], second: &mut [u32; 4], one: &[[u8; BLOCK_BYTES]], two: &[[u8; BLOCK_BYTES]]) {
    let mut now: State<2> = std::array::from_fn(|n| [first[n], second[n]]);
    steps::take(&mut now, [one, two], one.len().min(two.len()));
    *first = now.map(|[word, _]| word);
    *second = now.map(|[_, word]| word);
}
