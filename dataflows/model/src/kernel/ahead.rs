//! Hints to the CPU that memory will be read soon. They change no value, only how long a read takes:
//! rows lie all over tables far larger than its caches.

/// Bytes that a CPU loads at a time, almost everywhere.
#[cfg(target_arch = "x86_64")]
const CACHE_LINE: usize = 64;

/// Says that `row` will be read a few hundred nanoseconds from now. Does nothing where there is no
/// such instruction.
#[inline]
#[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "an intrinsic takes a pointer"))]
pub fn read_soon(row: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    for line in row.chunks(CACHE_LINE / size_of::<f32>()) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing and never faults, whatever the address; this one is
        // that of a slice besides.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = row;
}
