//! Random numbers from the CPU.

use core::arch::x86_64::{_rdrand64_step, _rdseed64_step};

/// RDRAND may be short of entropy for a moment; Intel advises ten tries (DRNG guide, section 5.2.1).
const TRIES: usize = 10;

/// A random number; `None` if the generator is broken.
pub fn random() -> Option<u64> {
    let mut value = 0;
    for _ in 0..TRIES {
        // SAFETY: RDSEED and RDRAND are baseline features of the target.
        if unsafe { _rdseed64_step(&mut value) == 1 || _rdrand64_step(&mut value) == 1 } {
            return Some(value);
        }
    }
    None
}
