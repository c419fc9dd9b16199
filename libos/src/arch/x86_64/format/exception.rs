//! The exceptions of a CPU, by their names.

use core::fmt;

/// Names of the exceptions (SDM volume 3A, table 6-1).
const EXCEPTIONS: [&str; 22] = [
    "#DE divide error",
    "#DB debug exception",
    "NMI non-maskable interrupt",
    "#BP breakpoint",
    "#OF overflow",
    "#BR bound range exceeded",
    "#UD invalid opcode",
    "#NM device not available",
    "#DF double fault",
    "coprocessor segment overrun",
    "#TS invalid TSS",
    "#NP segment not present",
    "#SS stack-segment fault",
    "#GP general protection",
    "#PF page fault",
    "reserved exception 15",
    "#MF x87 floating-point error",
    "#AC alignment check",
    "#MC machine check",
    "#XM SIMD floating-point exception",
    "#VE virtualization exception",
    "#CP control protection exception",
];

/// An exception, which is displayed with its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exception(u64);

impl Exception {
    /// That of this vector.
    pub(in crate::arch) const fn of(vector: u64) -> Self {
        Self(vector)
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(vector) = *self;
        let name = EXCEPTIONS.get(vector as usize).unwrap_or(&"reserved exception");
        write!(f, "{name} (vector {vector})")
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn names_are_at_their_vectors() {
        for (vector, name) in [(0, "#DE divide error (vector 0)"), (8, "#DF double fault (vector 8)")] {
            assert_eq!(Exception::of(vector).to_string(), name);
        }
        assert_eq!(Exception::of(14).to_string(), "#PF page fault (vector 14)");
        assert_eq!(Exception::of(21).to_string(), "#CP control protection exception (vector 21)");
        assert_eq!(Exception::of(22).to_string(), "reserved exception (vector 22)");
    }
}
