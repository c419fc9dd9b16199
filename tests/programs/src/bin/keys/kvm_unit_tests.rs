//! The cases of kvm-unit-tests' `x86/pks.c`: what the hardware does with AD, WD and CR0.WP, and that keys of one mode's
//! pages are nothing to pages of the other mode.
//!
//! A *guarded* page is one to which the register applies: a supervisor page with PKS, a user page with PKU. A page of
//! the *other mode* is the opposite, and has the same key in its leaf; the register must not matter there. (The source
//! has only PKS, so it says supervisor and user.)

use libos::arch::{interrupts, key_rights};
use libos::dax::Protection;

use super::probe::{AD, PLACE, WD, device, is_one_fault, only, peek, poke, set_bits, store, watch};
use super::tables::{leaf, set_write_protect, write_protect};
use super::verdict::{Case, Verdict, holds, same};

pub(crate) const CASES: &[Case] = &[
    ("write_guarded_ad_wp1", || write_guarded(AD, true, true)),
    ("write_guarded_ad_wp0", || write_guarded(AD, false, true)),
    ("write_guarded_wd_wp1", || write_guarded(WD, true, true)),
    ("write_guarded_wd_wp0", || write_guarded(WD, false, false)),
    ("write_other_mode_wd_wp0", || write_other_mode(WD, false)),
    ("write_other_mode_wd_wp1", || write_other_mode(WD, true)),
    ("read_other_mode_ad", read_other_mode),
];

/// Runs `body` with this CPU's CR0.WP as given. Nobody else runs meanwhile.
fn with_write_protect(on: bool, body: impl FnOnce()) {
    let enabled = interrupts::disable();
    set_write_protect(on);
    body();
    set_write_protect(true);
    interrupts::restore(enabled);
}

/// A store to a page to which the register applies.
fn write_guarded(bits: u32, wp: bool, should_fault: bool) -> Verdict {
    let device = device(1);
    poke(device, PLACE, 21);
    set_bits(device, bits);
    let faults = watch(|| with_write_protect(wp, || store(device, PLACE, 22)));
    set_bits(device, AD);
    holds("CR0.WP is set again", write_protect())?;
    same("what is there afterwards", peek(device, PLACE), 22)?;
    if should_fault {
        is_one_fault(&faults, device, PLACE, true, only(device, bits))?;
        same("what was there when it faulted", faults[0].content, 21)
    } else {
        same("the faults", faults, vec![])
    }
}

/// Runs `body` while the page with the place is a page of the other mode.
fn in_other_mode(body: impl FnOnce()) -> Verdict {
    let device = device(1);
    let found = leaf(device.address_range().start + PLACE).ok_or("nothing is mapped")?;
    same("whether the page is a user page", found.is_user(), device.protection() == Protection::Pku)?;
    found.in_other_mode(body);
    same("the leaf's key", found.key(), device.key().unwrap_or(0))
}

/// A store to a page to which the register does not apply.
fn write_other_mode(bits: u32, wp: bool) -> Verdict {
    let device = device(1);
    poke(device, PLACE, 25);
    set_bits(device, bits);
    let mut made = Ok(());
    let faults = watch(|| made = in_other_mode(|| with_write_protect(wp, || store(device, PLACE, 26))));
    set_bits(device, AD);
    made?;
    same("the faults", faults, vec![])?;
    same("what is there afterwards", peek(device, PLACE), 26)
}

/// A load from a page to which the register does not apply.
fn read_other_mode() -> Verdict {
    let device = device(1);
    poke(device, PLACE, 27);
    set_bits(device, AD);
    let (mut made, mut loaded) = (Ok(()), 0);
    let faults = watch(|| made = in_other_mode(|| loaded = super::probe::load(device, PLACE)));
    made?;
    same("the faults", faults, vec![])?;
    same("what was loaded", loaded, 27)?;
    same("the rights meanwhile", key_rights::current(), only(device, AD))
}
