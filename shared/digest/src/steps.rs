//! The 64 steps that take one block of 64 bytes in (RFC 1321, section 3.4), for as many bodies at once as there are lanes.

/// A, B, C and D, each with one word a lane.
pub(crate) type State<const LANES: usize> = [[u32; LANES]; 4];

/// What a step adds: the whole part of 2^32 · |sin(n)|, n from 1.
#[rustfmt::skip] // one a line otherwise
const ADDED: [u32; 64] = [
    0xd76a_a478, 0xe8c7_b756, 0x2420_70db, 0xc1bd_ceee, 0xf57c_0faf, 0x4787_c62a, 0xa830_4613, 0xfd46_9501,
    0x6980_98d8, 0x8b44_f7af, 0xffff_5bb1, 0x895c_d7be, 0x6b90_1122, 0xfd98_7193, 0xa679_438e, 0x49b4_0821,
    0xf61e_2562, 0xc040_b340, 0x265e_5a51, 0xe9b6_c7aa, 0xd62f_105d, 0x0244_1453, 0xd8a1_e681, 0xe7d3_fbc8,
    0x21e1_cde6, 0xc337_07d6, 0xf4d5_0d87, 0x455a_14ed, 0xa9e3_e905, 0xfcef_a3f8, 0x676f_02d9, 0x8d2a_4c8a,
    0xfffa_3942, 0x8771_f681, 0x6d9d_6122, 0xfde5_380c, 0xa4be_ea44, 0x4bde_cfa9, 0xf6bb_4b60, 0xbebf_bc70,
    0x289b_7ec6, 0xeaa1_27fa, 0xd4ef_3085, 0x0488_1d05, 0xd9d4_d039, 0xe6db_99e5, 0x1fa2_7cf8, 0xc4ac_5665,
    0xf429_2244, 0x432a_ff97, 0xab94_23a7, 0xfc93_a039, 0x655b_59c3, 0x8f0c_cc92, 0xffef_f47d, 0x8584_5dd1,
    0x6fa8_7e4f, 0xfe2c_e6e0, 0xa301_4314, 0x4e08_11a1, 0xf753_7e82, 0xbd3a_f235, 0x2ad7_d2bb, 0xeb86_d391,
];
/// How far a step turns its sum to the left: four steps in turn, by round.
const TURNS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

/// Takes in `blocks` blocks of every lane.
#[inline(always)]
pub(crate) fn take<const LANES: usize>(state: &mut State<LANES>, lanes: [&[[u8; 64]]; LANES], blocks: usize) {
    // Read from memory, not known to the compiler: it would add them to the word that every step waits for.
    let added = std::hint::black_box(&ADDED);
    for at in 0..blocks {
        let mut words = [[0; 16]; LANES];
        for (words, lane) in words.iter_mut().zip(lanes) {
            for (word, bytes) in words.iter_mut().zip(lane[at].as_chunks::<4>().0) {
                *word = u32::from_le_bytes(*bytes);
            }
        }
        let mut now = *state;
        // Each round has its own function of three words, and its own order of the block's words: a start and a stride.
        round::<LANES, 0, 0, 1>(&mut now, added, &words, |b, c, d| d ^ (b & (c ^ d)));
        round::<LANES, 1, 1, 5>(&mut now, added, &words, |b, c, d| c ^ (d & (b ^ c)));
        round::<LANES, 2, 5, 3>(&mut now, added, &words, |b, c, d| b ^ c ^ d);
        round::<LANES, 3, 0, 7>(&mut now, added, &words, |b, c, d| c ^ (b | !d));
        for (kept, new) in state.iter_mut().zip(now) {
            for (kept, new) in kept.iter_mut().zip(new) {
                *kept = kept.wrapping_add(new);
            }
        }
    }
}

#[inline(always)]
fn round<const LANES: usize, const ROUND: usize, const START: usize, const STRIDE: usize>(
    state: &mut State<LANES>,
    added: &[u32; 64],
    words: &[[u32; 16]; LANES],
    mix: impl Fn(u32, u32, u32) -> u32 + Copy,
) {
    // Written out: which of the four is which changes with every step, and a loop would move them about.
    macro_rules! steps {
        ($($n:literal)*) => { $(step::<LANES, ROUND, $n>(state, added, words, (START + STRIDE * $n) % 16, mix);)* };
    }
    steps!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
}

#[inline(always)]
fn step<const LANES: usize, const ROUND: usize, const N: usize>(
    state: &mut State<LANES>,
    added: &[u32; 64],
    words: &[[u32; 16]; LANES],
    word: usize,
    mix: impl Fn(u32, u32, u32) -> u32 + Copy,
) {
    let [a, b, c, d] = *state;
    let mut new = b;
    for lane in 0..LANES {
        let sum = a[lane].wrapping_add(added[ROUND * 16 + N]).wrapping_add(words[lane][word]);
        let sum = sum.wrapping_add(mix(b[lane], c[lane], d[lane]));
        new[lane] = b[lane].wrapping_add(sum.rotate_left(TURNS[ROUND][N % 4]));
    }
    *state = [d, new, b, c];
}
