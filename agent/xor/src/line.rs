//! Cache lines that are written past the caches.
//!
//! An ordinary store reads the line it is about to overwrite. Of an output larger than the caches that is a third of all
//! the traffic, and the C library's memcpy leaves it out from about such a size on; so does this.

#![expect(
    unsafe_code,
    reason = "the compiler has no other way to ask for such stores; three lines, each with its reason"
)]

/// A cache line: 64 bytes on all that this is built for (Intel's and AMD's optimisation guides, Arm's for Neoverse).
pub const LINE_BYTES: usize = 64;

/// So many bytes, aligned to their length.
#[repr(C, align(64))]
pub struct Line([u8; LINE_BYTES]);

/// What lies before the first whole line of `bytes`, the whole lines, and what lies after them.
pub fn lines(bytes: &mut [u8]) -> (&mut [u8], &mut [Line], &mut [u8]) {
    // SAFETY: a line is bytes and nothing else, any bytes are a line, and `align_to_mut` sees to alignment and length.
    unsafe { bytes.align_to_mut() }
}

impl Line {
    /// Puts these bytes here without reading what was there. To be seen by others after [`done`].
    #[inline(always)]
    pub fn stream(&mut self, bytes: [u8; LINE_BYTES]) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_stream_si128};
            const LANE_BYTES: usize = size_of::<__m128i>();
            let (to, _) = self.0.as_chunks_mut::<LANE_BYTES>();
            let (from, _) = bytes.as_chunks::<LANE_BYTES>();
            for (to, from) in to.iter_mut().zip(from) {
                // SAFETY: SSE2 is part of x86-64; both are 16 bytes long, and `to` is 16 bytes into an aligned line or a
                // multiple of that.
                unsafe { _mm_stream_si128(to.as_mut_ptr().cast(), _mm_loadu_si128(from.as_ptr().cast())) }
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            self.0 = bytes;
        }
    }
}

/// After the last of a number of streamed lines, before anybody else is told of them.
pub fn done() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of x86-64, and a fence has no other condition.
    unsafe {
        std::arch::x86_64::_mm_sfence();
    }
}
