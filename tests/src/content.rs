//! The bytes of inputs, and what their outputs must be.

/// The kernel of most tests: a prime number of bytes, so that no block size is a multiple of it.
pub const KERNEL: &[u8] = b"the kernel; its number of bytes is prime!";

/// Bytes that look random and belong to the name: the same each time.
pub fn of(name: &str, bytes: usize) -> Vec<u8> {
    // FNV-1a of the name, then xorshift64*: short, and good enough that no two inputs are alike.
    let mut state =
        name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    let mut out = Vec::with_capacity(bytes + 8);
    while out.len() < bytes {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        out.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    out.truncate(bytes);
    out
}

/// The size of the input `in<n>.dat` of a test: below, at and above the kernel's, and some KiB.
pub fn size(n: usize) -> usize {
    match n % 5 {
        0 => KERNEL.len(),
        1 => KERNEL.len() - 1,
        2 => 1,
        3 => 3 * KERNEL.len() + 7,
        _ => 5000 + n,
    }
}

/// Input XOR kernel, the kernel repeated over the file: byte by byte, by index, as the definition says it.
pub fn xored(input: &[u8], kernel: &[u8]) -> Vec<u8> {
    (0..input.len()).map(|at| input[at] ^ kernel[at % kernel.len()]).collect()
}

/// `in0.dat`, `in1.dat` and so on.
pub fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("in{n}.dat")).collect()
}
