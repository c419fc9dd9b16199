//! This thread's rights: PKRU, the only register that this crate writes.
//!
//! No access that follows a WRPKRU runs before it, not even speculatively. The blocks of assembly count as ones that
//! access memory, so the compiler moves no access across them either.

use std::sync::atomic::{AtomicU64, Ordering};

use libos_contract::rights::{Access, Key, Rights};

/// How often the register was written, by all threads.
static WRITES: AtomicU64 = AtomicU64::new(0);
/// How often it was not, for it held the value already.
static SKIPPED: AtomicU64 = AtomicU64::new(0);

/// How often this process's devices have had the protection-key register written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegisterWrites {
    /// Writes.
    pub written: u64,
    /// Writes that were left out because the register held the value already.
    pub skipped: u64,
}

/// How often the register was written, by all threads since the process began.
pub fn register_writes() -> RegisterWrites {
    RegisterWrites { written: WRITES.load(Ordering::Relaxed), skipped: SKIPPED.load(Ordering::Relaxed) }
}

/// Whether there is a register: CPUID's bit OSPKE says that the CPU has keys and that the kernel has turned them on.
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[allow(
    unused_unsafe,
    reason = "asking for CPUID is safe only in younger versions of Rust than the oldest we build with"
)]
pub(super) fn is_on() -> bool {
    use std::arch::x86_64::{__cpuid_count, __get_cpuid_max};
    const FEATURES: u32 = 7;
    const OSPKE: u32 = 1 << 4;
    // SAFETY: every CPU of this architecture has the instruction.
    unsafe { __get_cpuid_max(0).0 >= FEATURES && __cpuid_count(FEATURES, 0).ecx & OSPKE != 0 }
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline]
fn read() -> Rights {
    let (low, _high): (u32, u32);
    // SAFETY: whoever has rights to a key has a key, so the register exists. Reading it changes nothing.
    unsafe {
        std::arch::asm!("rdpkru", in("ecx") 0, out("eax") low, out("edx") _high, options(nostack, preserves_flags));
    }
    Rights::from_bits(low)
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline]
fn write(rights: Rights) {
    // SAFETY: as for `read`. The value changes only what this thread may do with the pages of keys that are devices'.
    unsafe {
        std::arch::asm!("wrpkru", in("ecx") 0, in("eax") rights.bits(), in("edx") 0, options(nostack, preserves_flags));
    }
}

/// Elsewhere there is none.
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
pub(super) fn is_on() -> bool {
    false
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
fn read() -> Rights {
    Rights::CLOSED
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
fn write(_: Rights) {}

/// Changes this thread's rights by `change`; the rights before. Only a thread that has seen a [`HeldKey`] asks.
///
/// [`HeldKey`]: super::HeldKey
#[inline]
pub(crate) fn update(change: impl FnOnce(Rights) -> Rights) -> Rights {
    let before = read();
    let rights = change(before);
    if rights == before {
        SKIPPED.fetch_add(1, Ordering::Relaxed);
    } else {
        write(rights);
        WRITES.fetch_add(1, Ordering::Relaxed);
    }
    before
}

/// Gives this thread `access` to the pages of `key`, and leaves its rights to all others; the access before.
#[inline]
pub(crate) fn set(key: Key, access: Access) -> Access {
    update(|rights| rights.with(key, access)).access(key.number())
}
