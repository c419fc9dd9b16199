//! The shapes: instructions that touch persistent memory. Most are those that `strays` has for processes of Linux too;
//! here are those that only code in ring 0 can make. Each is a function of its own, so that a backtrace names it (see
//! [`contexts`](crate::contexts) for `black_box`).
//!
//! Most go to [`OFFSET`] of the first device. None has a grant of its own: whether it may do it depends on the context
//! alone.

use std::arch::asm;
use std::hint::black_box;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use libos::arch::interrupts;
use libos::dax::{audit, devices};
use libos::kprintln;
use strays::instructions::{STRAYS, Stray, store64};

use crate::contexts::serial;
use crate::page_tables;

/// Where in the device most go: the middle of a page far from both ends, at the alignment that XSAVE wants.
pub(crate) const OFFSET: usize = 0x12_3440;

/// What this run does with the device.
enum Chosen {
    /// What a process of Linux could do as well.
    Shared(&'static Stray),
    /// Something at the target.
    Own(fn(usize)),
}

/// A shape that only the guest has: its name, and what it does at an address.
type Own = (&'static str, fn(usize));

const OWN: [Own; 4] =
    [("int", int), ("interrupted", interrupted), ("alias-walk", alias_walk), ("alias-make", alias_make)];

/// The shape that this run makes: its name, and what it does.
static CHOSEN: OnceLock<(String, Chosen)> = OnceLock::new();
/// What the target's 16 bytes hold before.
static BEFORE: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
/// What a shape that loads has read.
static LOADED: AtomicU64 = AtomicU64::new(0);
/// An interrupt has come to `interrupted`.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Chooses what [`act`] does, and prepares it.
pub(crate) fn choose(name: &str, before: &str) {
    let (low, high) = before.split_once(',').expect("two words with a comma");
    for (word, text) in BEFORE.iter().zip([low, high]) {
        word.store(u64::from_str_radix(text, 16).expect("a hexadecimal word"), Ordering::Relaxed);
    }
    let shared = STRAYS.iter().find(|stray| stray.shape.name == name).map(Chosen::Shared);
    let own = || OWN.iter().find(|shape| shape.0 == name).map(|shape| Chosen::Own(shape.1));
    let chosen = shared.or_else(own).expect("a shape");
    match name {
        "straddle-store" | "straddle-movups" | "straddle-movsb" => page_tables::map_page_before(device().0),
        _ => {}
    }
    assert!(CHOSEN.set((name.to_owned(), chosen)).is_ok(), "one shape");
}

/// Does what was chosen. Needs no memory, no lock and no thread, since interrupt handlers call it, but for
/// `interrupted`, which they cannot do.
#[inline(never)]
pub(crate) fn act() {
    match CHOSEN.get() {
        Some((_, Chosen::Shared(stray))) => act_shared(stray),
        Some((_, Chosen::Own(shape))) => shape(target()),
        None => {}
    }
    black_box(());
}

fn act_shared(stray: &Stray) {
    let (start, length) = device();
    let at = start + stray.shape.place.anchor(OFFSET as u64, length) as usize;
    let before = [0, 1].map(|word: usize| BEFORE[word].load(Ordering::Relaxed));
    undisturbed(|| {
        if let Some(value) = stray.code.run(at, before) {
            LOADED.store(value, Ordering::SeqCst);
        }
    });
}

/// Tells what the shape that was chosen has seen, once it is over.
pub(crate) fn tell() {
    match CHOSEN.get().map(|(name, _)| &**name) {
        Some("load" | "pop") => println!("stray: read {:#x}", LOADED.load(Ordering::SeqCst)),
        Some("alias-make") => match audit() {
            Ok(seen) => println!("stray: the audit finds nothing in {} leaves", seen.leaves),
            Err(error) => println!("stray: the audit: {error}"),
        },
        _ => {}
    }
}

/// Where the first device is, and its length.
fn device() -> (usize, u64) {
    let range = devices().first().expect("the test gives this program an NVDIMM").address_range();
    (range.start.as_u64() as usize, range.end - range.start)
}

/// The address at [`OFFSET`] of the first device.
pub(crate) fn target() -> usize {
    device().0 + OFFSET
}

/// Assembly that goes astray.
macro_rules! astray {
    ($($assembly:tt)*) => {
        // SAFETY: none for the access itself: it is the mistake that the protection is there for. It touches no memory
        // of Rust's, the stack pointer is put back before the block ends, and all that is changed is declared.
        unsafe { asm!($($assembly)*) }
    };
}

/// Runs `body` without interrupts, since one that came while the stack pointer is astray would do what the shape does.
fn undisturbed(body: impl FnOnce()) {
    let enabled = interrupts::disable();
    body();
    interrupts::restore(enabled);
}

/// A software interrupt, which has no handler: the CPU itself stores the frame.
#[inline(never)]
fn int(at: usize) {
    undisturbed(|| {
        astray!("mov {own}, rsp", "mov rsp, {at}", "int 0xf0", "mov rsp, {own}", own = out(reg) _, at = in(reg) at);
    });
}

/// A device's interrupt that comes while the stack pointer is astray. It is routed to the CPU on which that is: the
/// machine has only one, or the thread is pinned.
#[inline(never)]
fn interrupted(at: usize) {
    assert!(interrupts::are_enabled(), "this context takes no interrupts");
    serial::prepare(|_| INTERRUPTED.store(true, Ordering::SeqCst));
    astray!("mov {own}, rsp", "mov rsp, {at}", "out dx, al", "2:", "pause", "cmp byte ptr [{done}], 0", "je 2b",
        "mov rsp, {own}", own = out(reg) _, at = in(reg) at, done = in(reg) INTERRUPTED.as_ptr(),
        in("dx") serial::INTERRUPT_ENABLE, in("al") serial::TRANSMITTER_EMPTY);
}

/// Looks for another mapping of the target's frame in all page tables, one without a key if possible, and stores
/// through it.
#[inline(never)]
fn alias_walk(at: usize) {
    let found = page_tables::mappings_of(at);
    kprintln!("stray: {} mappings of the frame, {} without a key", found.count, found.keyless);
    store64(found.best);
    black_box(());
}

/// Makes another mapping of the target's frame, without a key, and stores through it.
#[inline(never)]
fn alias_make(at: usize) {
    store64(page_tables::make_alias(at));
    black_box(());
}
