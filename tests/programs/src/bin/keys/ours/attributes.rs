//! What the page tables say of every page, and what an audit makes of it when they say something else.

use libos::arch::interrupts;
use libos::dax::{AuditError, audit, devices};

use crate::cpus::on_every_cpu;
use crate::probe::{KEYS, device, key};
use crate::tables::{leaf, write_protect};
use crate::verdict::{Case, Verdict, holds, same};

pub(crate) const CASES: &[Case] = &[
    ("every_leaf_of_every_device_has_its_key", every_leaf),
    ("audit_passes", || audit().map(drop).map_err(|error| error.to_string())),
    ("audit_finds_a_page_of_the_other_mode", audit_other_mode),
    ("audit_finds_another_key", audit_other_key),
    ("write_protect_on_every_cpu", write_protect_everywhere),
];

/// Walked without the library's help.
fn every_leaf() -> Verdict {
    for device in devices() {
        let range = device.address_range();
        let mut at = range.start;
        while at < range.end {
            let leaf = leaf(at).ok_or_else(|| format!("nothing is mapped at {at:#x}"))?;
            same(format_args!("the key of the leaf at {at:#x}"), leaf.key(), key(device))?;
            holds(format_args!("the leaf at {at:#x} is writable"), leaf.is_writable())?;
            at += leaf.size;
        }
        same("the end of the last leaf", at, range.end)?;
    }
    Ok(())
}

fn audit_other_mode() -> Verdict {
    let leaf = leaf(device(3).address_range().start).ok_or("nothing is mapped")?;
    let found = leaf.in_other_mode(audit);
    holds(format_args!("{found:?} is WrongMode"), matches!(found, Err(AuditError::WrongMode(_))))?;
    audit().map(drop).map_err(|error| error.to_string())
}

fn audit_other_key() -> Verdict {
    let leaf = leaf(device(3).address_range().start).ok_or("nothing is mapped")?;
    let enabled = interrupts::disable();
    let found = leaf.with_key(0, audit);
    let other = leaf.with_key(key(device(KEYS - 1)), audit);
    interrupts::restore(enabled);
    let wrong = |found: &Result<_, AuditError>| matches!(found, Err(AuditError::WrongKey { .. }));
    holds(format_args!("{found:?} is WrongKey"), wrong(&found))?;
    holds(format_args!("{other:?} is WrongKey"), wrong(&other))?;
    audit().map(drop).map_err(|error| error.to_string())
}

/// Without CR0.WP the right to read would be one to write.
fn write_protect_everywhere() -> Verdict {
    let found = on_every_cpu(|| u32::from(write_protect()));
    holds(format_args!("CR0.WP is set: {found:?}"), found.iter().all(|&set| set == 1))
}
