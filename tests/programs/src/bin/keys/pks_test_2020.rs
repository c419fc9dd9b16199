//! The cases of `pks_test.c` as it was in the versions 1 to 6 of the series, in 2020: an array of six rows of rights
//! and accesses, two of which went away later with the right to read only.

use std::ffi::{CStr, c_char};
use std::sync::Mutex;

use libos::dax::{Device, Rights, devices};

use super::pks_test::{check_ctx_switch, check_defaults};
use super::probe::{AD, OPEN, WD, access_with, device, key, only, register_is, set_bits};
use super::verdict::{Case, Verdict, holds};

pub(crate) const CASES: &[Case] = &[
    ("no_access_write", || row(device(0), 0)),
    ("no_access_read", || row(device(0), 1)),
    ("open_write", || row(device(0), 2)),
    ("open_read", || row(device(0), 3)),
    ("no_write_write", || row(device(0), 4)),
    ("no_write_read", || row(device(0), 5)),
    ("run_single", || rows(device(0))),
    ("arm_ctx_switch", arm_ctx_switch),
    ("check_ctx_switch", || check_ctx_switch(AD | WD)),
    ("allocate_all_keys", allocate_all_keys),
    ("on_boot", on_boot),
];

/// The array: the key's bits, whether the access is a write, and whether it faults.
const ROWS: [(u32, bool, bool); 6] = [
    (AD | WD, true, true),
    (AD | WD, false, true),
    (OPEN, true, false),
    (OPEN, false, false),
    (WD, true, true),
    (WD, false, false),
];

fn row(device: &'static Device, number: usize) -> Verdict {
    let (bits, write, faults) = ROWS[number];
    access_with(device, bits, write, faults)
}

/// 0: all rows.
fn rows(device: &'static Device) -> Verdict {
    (0..ROWS.len()).try_for_each(|number| row(device, number).map_err(|why| format!("row {number}: {why}")))
}

/// 1: both bits are set in this thread.
fn arm_ctx_switch() -> Verdict {
    set_bits(device(0), AD | WD);
    let armed = register_is("when it is armed", only(device(0), AD | WD));
    set_bits(device(0), AD);
    armed
}

/// 3: every key there is, once, and all rows for each.
fn allocate_all_keys() -> Verdict {
    let all = devices().iter().fold(0u16, |all, device| all | 1 << key(device));
    holds("the devices have the keys 1 to 15", all == 0xfffe)?;
    devices().iter().try_for_each(|device| rows(device).map_err(|why| format!("key {}: {why}", key(device))))
}

/// What [`run_on_boot`] found.
static ON_BOOT: Mutex<Option<Verdict>> = Mutex::new(None);

/// The boot option `pks-test-on-boot`: the tests run while the kernel starts, here as a constructor, before `std` does.
extern "C" fn run_on_boot(argc: i32, argv: *const *const c_char, _: *const *const c_char) {
    // SAFETY: the library hands over so many arguments, each a C string that lives for ever.
    let argument = |at: usize| unsafe { CStr::from_ptr(*argv.add(at)) };
    if (0..argc as usize).any(|at| argument(at) == c"pks_test_2020::on_boot") {
        let verdict = register_is("before the program", Rights::CLOSED).and_then(|()| rows(device(0)));
        if let Ok(mut on_boot) = ON_BOOT.lock() {
            *on_boot = Some(verdict);
        }
    }
}

#[used]
// SAFETY: the section is an array of functions without arguments, which are called once each before the program; this
// is one.
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn(i32, *const *const c_char, *const *const c_char) = run_on_boot;

fn on_boot() -> Verdict {
    check_defaults()?;
    let found = ON_BOOT.lock().map_err(|error| error.to_string())?.take();
    found.unwrap_or_else(|| Err("the constructor has not run".to_owned()))
}
