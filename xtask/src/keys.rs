//! Whether this computer has protection keys for user pages.

use std::fs;

/// Whether its kernel says that it uses them.
pub fn are_here() -> bool {
    fs::read_to_string("/proc/cpuinfo").is_ok_and(|processors| are_used(&processors))
}

/// Whether this is what a kernel that uses protection keys says of its processors.
fn are_used(cpuinfo: &str) -> bool {
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags"));
    flags.is_some_and(|flags| flags.split_whitespace().any(|flag| flag == "ospke"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_kernel_that_uses_keys_counts() {
        assert!(are_used("processor\t: 0\nflags\t\t: fpu pku ospke avx\n"));
        assert!(!are_used("processor\t: 0\nflags\t\t: fpu pku avx\n"));
        assert!(!are_used("bugs\t: ospke\n"));
    }
}
