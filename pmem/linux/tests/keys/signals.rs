//! A signal that comes while the stack pointer is in a closed device, for a handler without a stack of its own.

use std::fs;
use std::path::PathBuf;

use libos_contract::protection::Protection;

use crate::attempt;
use crate::child::{self, STRAYED};
use crate::denials;
use crate::devices::{self, BEFORE};

/// The first version whose kernel opens all keys to store a signal's frame, so that a handler's stack may have a key
/// of its own (`sig_prepare_pkru` in `arch/x86/kernel/signal.c`).
const ALL_KEYS: [u32; 2] = [6, 12];
/// Where the stack pointer is.
const PLACE: usize = 0x7000;

/// Whether this kernel stores the frames of signals whatever the key.
pub fn frames_go_past_keys() -> bool {
    let kernel = rustix::system::uname();
    let release = kernel.release().to_str().unwrap();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    [(); 2].map(|()| numbers.next().unwrap_or(0)) >= ALL_KEYS
}

#[test]
fn a_frame_is_stored_in_a_closed_device_by_kernels_that_open_all_keys_for_it() {
    if !devices::keys_are_here() {
        return;
    }
    let file = devices::file();
    let mut child = child::spawn("signals::comes", &[file.path().to_str().unwrap()]);
    assert_eq!(child.wait().unwrap().code(), Some(STRAYED), "its handler is closed to that stack, if it is called");
    let is_stored = fs::read(file.path()).unwrap().iter().any(|&byte| byte != BEFORE);
    assert_eq!(is_stored, frames_go_past_keys());
}

#[test]
#[ignore = "ends by SIGSEGV, so it is run in a process of its own"]
fn comes() {
    let [path] = child::words().try_into().unwrap();
    let device = devices::open(PathBuf::from(path), Protection::Pku).unwrap();
    denials::install();
    // For the stack of the handler that sees the end.
    let ((), none) = denials::catch(|| ());
    assert!(none.is_none());
    attempt::signal(devices::address(&device, PLACE));
    child::end();
}
