//! Random bytes, for those who cannot do without.

use libos_contract::exit::FATAL_EXCEPTION;

use crate::arch::entropy::random;
use crate::halt;

/// Fills a buffer with random bytes. A machine without them cannot go on: what relies on them would be weak.
pub fn fill(bytes: &mut [u8]) {
    for chunk in bytes.chunks_mut(8) {
        let Some(random) = random() else {
            halt::stop(FATAL_EXCEPTION, format_args!("the CPU's random number generator gives nothing"));
        };
        chunk.copy_from_slice(&random.to_ne_bytes()[..chunk.len()]);
    }
}
