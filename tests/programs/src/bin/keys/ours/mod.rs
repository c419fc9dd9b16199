//! What the tests of Linux and kvm-unit-tests left out: nesting of every kind, several CPUs, the edges of a device,
//! page attributes, and what the machine does when nobody handles a fault.

mod attributes;
mod nesting;
mod policy;
mod regions;
mod scopes;
mod stale_memory;
mod threads;

use super::verdict::Case;

/// The cases of each file.
pub(crate) const FILES: &[&[Case]] = &[
    attributes::CASES,
    nesting::CASES,
    policy::CASES,
    regions::CASES,
    scopes::CASES,
    stale_memory::CASES,
    threads::CASES,
];
