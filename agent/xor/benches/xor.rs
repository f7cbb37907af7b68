//! Times the XOR loop and memcpy on request, for `scripts/bench data`: a line on standard input asks, one on standard
//! output answers with the nanoseconds of one pass.
//!
//! `in|out|copy KERNEL-BYTES OFFSET BYTES PASSES`: in place, into another buffer, or memcpy (which has no use for a kernel).

use std::collections::HashMap;
use std::hint::black_box;
use std::io::{BufRead, Write};
use std::time::Instant;

use dayfly_xor::Kernel;

fn filled(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|n| (n as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

fn main() {
    // Which buffers there are decides what is in the cache: the two are kept, by size.
    let mut buffers: HashMap<usize, (Vec<u8>, Vec<u8>)> = HashMap::new();
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("a line");
        let words: Vec<&str> = line.split_whitespace().collect();
        let [what, kernel, offset, bytes, passes] = words.as_slice() else { panic!("unreadable: {line}") };
        let number = |word: &str| word.parse::<usize>().expect("a number");
        let (bytes, passes) = (number(bytes), number(passes));
        let kernel = Kernel::new(&filled(number(kernel))).expect("a kernel");
        let offset = number(offset) as u64;
        let (data, out) = buffers.entry(bytes).or_insert_with(|| (filled(bytes), filled(bytes)));
        let mut pass = || match *what {
            "in" => kernel.apply(black_box(data), offset),
            "out" => kernel.apply_into(black_box(data), black_box(out), offset),
            "copy" => black_box(&mut *out).copy_from_slice(black_box(data)),
            _ => panic!("unreadable: {line}"),
        };
        pass();
        #[expect(clippy::disallowed_methods, reason = "it is what is measured")]
        let begun = Instant::now();
        (0..passes).for_each(|_| pass());
        println!("{}", begun.elapsed().as_nanos() / passes as u128);
        std::io::stdout().flush().expect("somebody listens");
    }
}
