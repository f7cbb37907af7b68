//! Against the RFC's examples and against another implementation.

use dayfly_digest::{BLOCK_BYTES, Md5, update_both};
use md5::Digest as _;
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};

fn hex(digest: [u8; 16]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn reference(bytes: &[u8]) -> [u8; 16] {
    md5::Md5::digest(bytes).into()
}

fn random(dice: &mut StdRng, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    dice.fill_bytes(&mut bytes);
    bytes
}

/// RFC 1321, appendix A.5.
#[test]
fn the_rfcs_examples() {
    let examples = [
        ("", "d41d8cd98f00b204e9800998ecf8427e"),
        ("a", "0cc175b9c0f1b6a831c399e269772661"),
        ("abc", "900150983cd24fb0d6963f7d28e17f72"),
        ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
        ("abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"),
        ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", "d174ab98d277d9f5a5611c2c9f419d9f"),
    ];
    for (text, digest) in examples {
        assert_eq!(hex(Md5::of(text.as_bytes())), digest, "{text:?}");
    }
}

#[test]
fn every_length_around_the_blocks_ends() {
    let bytes = random(&mut StdRng::seed_from_u64(1), 4 * BLOCK_BYTES + 2);
    for length in 0..bytes.len() {
        assert_eq!(Md5::of(&bytes[..length]), reference(&bytes[..length]), "{length} bytes");
    }
}

#[test]
fn pieces_of_any_length_come_to_the_same() {
    let mut dice = StdRng::seed_from_u64(2);
    for _ in 0..300 {
        let length = dice.random_range(0..1000);
        let bytes = random(&mut dice, length);
        let mut md5 = Md5::default();
        let mut left = &bytes[..];
        while !left.is_empty() {
            let (now, later) = left.split_at(dice.random_range(1..=left.len().min(200)));
            md5.update(now);
            left = later;
        }
        assert_eq!(md5.finish(), reference(&bytes), "{length} bytes");
    }
}

#[test]
fn two_at_once_are_two_digests() {
    let mut dice = StdRng::seed_from_u64(3);
    for _ in 0..300 {
        let bodies = [dice.random_range(0..3000), dice.random_range(0..3000)].map(|length| random(&mut dice, length));
        let (mut one, mut two) = (Md5::default(), Md5::default());
        let (mut first, mut second) = (&bodies[0][..], &bodies[1][..]);
        while !(first.is_empty() && second.is_empty()) {
            // Neither in step nor at the blocks' ends.
            let (first_now, first_later) = first.split_at(dice.random_range(0..=first.len().min(900)));
            let (second_now, second_later) = second.split_at(dice.random_range(0..=second.len().min(900)));
            update_both([&mut one, &mut two], [first_now, second_now]);
            (first, second) = (first_later, second_later);
        }
        assert_eq!([one.finish(), two.finish()], [reference(&bodies[0]), reference(&bodies[1])]);
    }
}
