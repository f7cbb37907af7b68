//! The data set of the demo: ten inputs, a kernel, and the outputs of the first three.

use bytes::Bytes;
use dayfly_shared::keys::output_name;
use dayfly_shared::rng::{Dice, StdDice};

/// How many inputs.
const INPUTS: u64 = 10;
/// Bytes of each input.
const INPUT_BYTES: usize = 2_000_000;
/// Bytes of the kernel.
const KERNEL_BYTES: usize = 1_000;
/// How many of the inputs are done.
const DONE: usize = 3;

/// Files as name and content.
pub struct Demo {
    /// `in0.dat` to `in9.dat`.
    pub inputs: Vec<(String, Bytes)>,
    /// `kernel.dat`.
    pub kernel: Bytes,
    /// `out0.dat` to `out2.dat`.
    pub outputs: Vec<(String, Bytes)>,
}

impl Demo {
    /// Made up; the same each time for the same seed.
    pub fn make(dice: &dyn Dice, seed: Option<u64>) -> Self {
        let seeded = seed.map(StdDice::seeded);
        let dice = seeded.as_ref().map_or(dice, |d| d as &dyn Dice);
        let inputs: Vec<(String, Bytes)> =
            (0..INPUTS).map(|n| (format!("in{n}.dat"), random(dice, INPUT_BYTES))).collect();
        let kernel = random(dice, KERNEL_BYTES);
        let done = inputs.iter().take(DONE).map(|(name, bytes)| (output_name(name), xor(bytes, &kernel)));
        let outputs = done.collect();
        Self { inputs, kernel, outputs }
    }
}

fn random(dice: &dyn Dice, bytes: usize) -> Bytes {
    let mut all = Vec::with_capacity(bytes + 8);
    while all.len() < bytes {
        all.extend_from_slice(&dice.next_u64().to_le_bytes());
    }
    all.truncate(bytes);
    all.into()
}

fn xor(input: &[u8], kernel: &[u8]) -> Bytes {
    input.iter().zip(kernel.iter().cycle()).map(|(byte, key)| byte ^ key).collect::<Vec<u8>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_data_and_outputs_are_inputs_xor_the_kernel() {
        let dice = StdDice::seeded(7);
        let (one, two) = (Demo::make(&dice, Some(1)), Demo::make(&dice, Some(1)));
        assert_eq!((&one.inputs, &one.kernel), (&two.inputs, &two.kernel));
        assert_ne!(Demo::make(&dice, None).kernel, one.kernel);
        assert_eq!((one.inputs.len(), one.inputs[9].1.len(), one.kernel.len()), (10, 2_000_000, 1000));
        assert_eq!(one.inputs[9].0, "in9.dat");
        let (name, out) = &one.outputs[2];
        assert_eq!((name.as_str(), one.outputs.len(), out.len()), ("out2.dat", 3, 2_000_000));
        for at in [0, 999, 1000, 1_999_999] {
            assert_eq!(out[at], one.inputs[2].1[at] ^ one.kernel[at % 1000]);
        }
    }
}
