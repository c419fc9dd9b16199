//! What the page tables say of every page, and what an audit makes of it when they say something else.

use std::ops::Range;

use libos::arch::interrupts;
use libos::dax::{AuditError, Medium, Protection, audit, devices};

use crate::cpus::on_every_cpu;
use crate::probe::{AD, KEYS, OPEN, PLACE, WD, access_with, device, key};
use crate::tables::{leaf, write_protect};
use crate::verdict::{Case, Verdict, holds, same};

pub(crate) const CASES: &[Case] = &[
    ("every_leaf_of_every_device_has_its_key", every_leaf),
    ("audit_passes", || audit().map(drop).map_err(|error| error.to_string())),
    ("audit_finds_a_page_of_the_other_mode", audit_other_mode),
    ("audit_finds_another_key", audit_other_key),
    ("split_keeps_the_key_on_every_leaf", split),
    ("leaf_4kib", leaf_4kib),
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

/// The page after the one with the place: changing it splits the large page that both are in.
const NEIGHBOUR: Range<u64> = (PLACE & !0xfff) + 4096..(PLACE & !0xfff) + 8192;

/// Runs `body` while one page of the third device is write-protected, and so a leaf of 4 KiB like all pages around it.
fn while_split(body: impl FnOnce() -> Verdict) -> Verdict {
    device(2).set_writable(NEIGHBOUR, false).map_err(|error| error.to_string())?;
    let verdict = body();
    device(2).set_writable(NEIGHBOUR, true).map_err(|error| error.to_string())?;
    verdict
}

/// A change of a page's permissions keeps its key, and so does the split that it takes.
fn split() -> Verdict {
    let start = device(2).address_range().start;
    let at = |offset| leaf(start + offset).ok_or("nothing is mapped");
    while_split(|| {
        let (changed, beside) = (at(NEIGHBOUR.start)?, at(PLACE)?);
        same("whether the changed page is writable", changed.is_writable(), false)?;
        same("whether the page before it is writable", beside.is_writable(), true)?;
        same("the size of the changed leaf", changed.size, 4096)?;
        let mut offset = 0;
        while offset < device(2).len() {
            let leaf = at(offset)?;
            same(format_args!("the key of the leaf at offset {offset:#x}"), leaf.key(), key(device(2)))?;
            same("whether it is a user page", leaf.is_user(), device(2).protection() == Protection::Pku)?;
            offset += leaf.size;
        }
        audit().map(drop).map_err(|error| error.to_string())
    })?;
    every_leaf()
}

/// Keys bind on leaves of 4 KiB as on large ones.
fn leaf_4kib() -> Verdict {
    while_split(|| {
        let leaf = leaf(device(2).address_range().start + PLACE).ok_or("nothing is mapped")?;
        same("the leaf's size", leaf.size, 4096)?;
        access_with(device(2), AD, true, true)?;
        access_with(device(2), AD, false, true)?;
        access_with(device(2), WD, true, true)?;
        access_with(device(2), WD, false, false)?;
        access_with(device(2), OPEN, true, false)
    })
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
