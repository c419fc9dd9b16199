//! The shapes: instructions that touch persistent memory. Each is a function of its own, so that a backtrace names it
//! (see [`contexts`](crate::contexts) for `black_box`).
//!
//! What they store is made of [`MARK`]; most go to [`OFFSET`] of the first device. None has a grant of its own: whether
//! it may do it depends on the context alone.

use std::arch::asm;
use std::hint::black_box;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use libos::arch::interrupts;
use libos::dax::{audit, devices};
use libos::kprintln;

use crate::contexts::serial;
use crate::page_tables;

/// What a stray store writes.
pub(crate) const MARK: u64 = 0x5741_5254_5359_4152;
/// Where in the device most go: the middle of a page far from both ends, at the alignment that XSAVE wants.
pub(crate) const OFFSET: usize = 0x12_3440;

/// A shape's name and what it does with an address.
type Shape = (&'static str, fn(usize));

const SHAPES: [Shape; 31] = [
    ("store8", store8),
    ("store16", store16),
    ("store32", store32),
    ("store64", store64),
    ("rep-movsb", rep_movsb),
    ("rep-movsq", rep_movsq),
    ("rep-stosb", rep_stosb),
    ("rep-stosq", rep_stosq),
    ("movnti", movnti),
    ("movntdq", movntdq),
    ("movaps", movaps),
    ("movups", movups),
    ("vmovups", vmovups),
    ("lock-xadd", lock_xadd),
    ("lock-cmpxchg", lock_cmpxchg),
    ("cmpxchg16b", cmpxchg16b),
    ("fxsave", fxsave),
    ("xsave", xsave),
    ("push", push),
    ("call", call),
    ("int", int),
    ("interrupted", interrupted),
    ("exception", exception),
    ("pop", pop),
    ("straddle-store", straddle_store),
    ("straddle-movups", straddle_movups),
    ("straddle-movsb", straddle_movsb),
    ("straddle-out", straddle_out),
    ("alias-walk", alias_walk),
    ("alias-make", alias_make),
    ("load", load),
];

/// The one that this run makes.
static CHOSEN: OnceLock<Shape> = OnceLock::new();
/// What the target's 16 bytes hold before.
static BEFORE: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
/// What `load` or `pop` has read.
static LOADED: AtomicU64 = AtomicU64::new(0);
/// An interrupt has come to `interrupted`.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Chooses what [`act`] does, and prepares it.
pub(crate) fn choose(name: &str, before: &str) {
    let (low, high) = before.split_once(',').expect("two words with a comma");
    for (word, text) in BEFORE.iter().zip([low, high]) {
        word.store(u64::from_str_radix(text, 16).expect("a hexadecimal word"), Ordering::Relaxed);
    }
    let shape = SHAPES.iter().find(|shape| shape.0 == name).expect("a shape");
    match name {
        "straddle-store" | "straddle-movups" | "straddle-movsb" => page_tables::map_page_before(start()),
        _ => {}
    }
    CHOSEN.set(*shape).expect("one shape");
}

/// Does what was chosen. Needs no memory, no lock and no thread, since interrupt handlers call it, but for
/// `interrupted`, which they cannot do.
#[inline(never)]
pub(crate) fn act() {
    if let Some((_, shape)) = CHOSEN.get() {
        shape(target());
    }
    black_box(());
}

/// Tells what the shape that was chosen has seen, once it is over.
pub(crate) fn tell() {
    match CHOSEN.get() {
        Some(("load" | "pop", _)) => println!("stray: read {:#x}", LOADED.load(Ordering::SeqCst)),
        Some(("alias-make", _)) => match audit() {
            Ok(seen) => println!("stray: the audit finds nothing in {} leaves", seen.leaves),
            Err(error) => println!("stray: the audit: {error}"),
        },
        _ => {}
    }
}

fn start() -> usize {
    devices().first().expect("the test gives this program an NVDIMM").address_range().start.as_u64() as usize
}

/// The address at [`OFFSET`] of the first device.
pub(crate) fn target() -> usize {
    start() + OFFSET
}

/// What block moves copy from.
#[repr(align(64))]
struct Source([u64; 8]);

static SOURCE: Source = Source([MARK; 8]);

/// Assembly that goes astray.
macro_rules! stray {
    ($($assembly:tt)*) => {
        // SAFETY: none for the access itself: it is the mistake that the protection is there for. It touches no memory
        // of Rust's, the stack pointer is put back before the block ends, and all that is changed is declared.
        unsafe { asm!($($assembly)*) }
    };
}

#[inline(never)]
fn store8(at: usize) {
    stray!("mov byte ptr [{at}], {mark}", at = in(reg) at, mark = in(reg_byte) MARK as u8, options(nostack));
}

#[inline(never)]
fn store16(at: usize) {
    stray!("mov word ptr [{at}], {mark:x}", at = in(reg) at, mark = in(reg) MARK, options(nostack));
}

#[inline(never)]
fn store32(at: usize) {
    stray!("mov dword ptr [{at}], {mark:e}", at = in(reg) at, mark = in(reg) MARK, options(nostack));
}

#[inline(never)]
pub(crate) fn store64(at: usize) {
    stray!("mov qword ptr [{at}], {mark}", at = in(reg) at, mark = in(reg) MARK, options(nostack));
}

#[inline(never)]
fn rep_movsb(at: usize) {
    let (from, count) = (SOURCE.0.as_ptr(), size_of::<Source>());
    stray!("rep movsb", inout("rdi") at => _, inout("rsi") from => _, inout("rcx") count => _, options(nostack));
}

#[inline(never)]
fn rep_movsq(at: usize) {
    let (from, count) = (SOURCE.0.as_ptr(), size_of::<Source>() / 8);
    stray!("rep movsq", inout("rdi") at => _, inout("rsi") from => _, inout("rcx") count => _, options(nostack));
}

#[inline(never)]
fn rep_stosb(at: usize) {
    stray!("rep stosb", inout("rdi") at => _, inout("rcx") 64 => _, in("rax") MARK, options(nostack));
}

#[inline(never)]
fn rep_stosq(at: usize) {
    stray!("rep stosq", inout("rdi") at => _, inout("rcx") 8 => _, in("rax") MARK, options(nostack));
}

#[inline(never)]
fn movnti(at: usize) {
    stray!("movnti [{at}], {mark}", "sfence", at = in(reg) at, mark = in(reg) MARK, options(nostack));
}

#[inline(never)]
fn movntdq(at: usize) {
    stray!("movaps xmm0, [{from}]", "movntdq [{at}], xmm0", "sfence", at = in(reg) at, from = in(reg) SOURCE.0.as_ptr(),
        out("xmm0") _, options(nostack));
}

#[inline(never)]
fn movaps(at: usize) {
    stray!("movaps xmm0, [{from}]", "movaps [{at}], xmm0", at = in(reg) at, from = in(reg) SOURCE.0.as_ptr(),
        out("xmm0") _, options(nostack));
}

/// At an address that is aligned to nothing.
#[inline(never)]
fn movups(at: usize) {
    stray!("movaps xmm0, [{from}]", "movups [{at} + 3], xmm0", at = in(reg) at, from = in(reg) SOURCE.0.as_ptr(),
        out("xmm0") _, options(nostack));
}

#[inline(never)]
fn vmovups(at: usize) {
    stray!("vmovaps ymm0, [{from}]", "vmovups [{at}], ymm0", "vzeroupper", at = in(reg) at,
        from = in(reg) SOURCE.0.as_ptr(), out("xmm0") _, options(nostack));
}

/// Adds the mark.
#[inline(never)]
fn lock_xadd(at: usize) {
    stray!("lock xadd [{at}], {mark}", at = in(reg) at, mark = inout(reg) MARK => _, options(nostack));
}

#[inline(never)]
fn lock_cmpxchg(at: usize) {
    let expected = BEFORE[0].load(Ordering::Relaxed);
    stray!("lock cmpxchg [{at}], {mark}", at = in(reg) at, mark = in(reg) MARK, inout("rax") expected => _,
        options(nostack));
}

#[inline(never)]
fn cmpxchg16b(at: usize) {
    let [low, high] = [0, 1].map(|word: usize| BEFORE[word].load(Ordering::Relaxed));
    // The compiler keeps RBX for itself.
    stray!("xchg rbx, {mark}", "lock cmpxchg16b [rdi]", "xchg rbx, {mark}", mark = inout(reg) MARK => _, in("rdi") at,
        inout("rax") low => _, inout("rdx") high => _, in("rcx") MARK, options(nostack));
}

/// XMM0, which holds the mark twice, lands 160 bytes on.
#[inline(never)]
fn fxsave(at: usize) {
    stray!("movaps xmm0, [{from}]", "fxsave64 [{at}]", at = in(reg) at, from = in(reg) SOURCE.0.as_ptr(), out("xmm0") _,
        options(nostack));
}

/// As [`fxsave`], with the AVX state.
#[inline(never)]
fn xsave(at: usize) {
    stray!("movaps xmm0, [{from}]", "xsave64 [{at}]", at = in(reg) at, from = in(reg) SOURCE.0.as_ptr(), in("eax") 7,
        in("edx") 0, out("xmm0") _, options(nostack));
}

/// Runs `body` without interrupts, since one that came while the stack pointer is astray would do what the shape does.
fn undisturbed(body: impl FnOnce()) {
    let enabled = interrupts::disable();
    body();
    interrupts::restore(enabled);
}

#[inline(never)]
fn push(at: usize) {
    undisturbed(|| {
        stray!("mov {own}, rsp", "mov rsp, {at}", "push {mark}", "mov rsp, {own}", own = out(reg) _, at = in(reg) at,
            mark = in(reg) MARK);
    });
}

#[inline(never)]
fn call(at: usize) {
    undisturbed(|| {
        stray!("mov {own}, rsp", "mov rsp, {at}", "call 2f", "mov rsp, {own}", "jmp 3f", "2:", "ret", "3:",
            own = out(reg) _, at = in(reg) at);
    });
}

/// A software interrupt, which has no handler: the CPU itself stores the frame.
#[inline(never)]
fn int(at: usize) {
    undisturbed(|| {
        stray!("mov {own}, rsp", "mov rsp, {at}", "int 0xf0", "mov rsp, {own}", own = out(reg) _, at = in(reg) at);
    });
}

/// A device's interrupt that comes while the stack pointer is astray. It is routed to the CPU on which that is: the
/// machine has only one, or the thread is pinned.
#[inline(never)]
fn interrupted(at: usize) {
    assert!(interrupts::are_enabled(), "this context takes no interrupts");
    serial::prepare(|_| INTERRUPTED.store(true, Ordering::SeqCst));
    stray!("mov {own}, rsp", "mov rsp, {at}", "out dx, al", "2:", "pause", "cmp byte ptr [{done}], 0", "je 2b",
        "mov rsp, {own}", own = out(reg) _, at = in(reg) at, done = in(reg) INTERRUPTED.as_ptr(),
        in("dx") serial::INTERRUPT_ENABLE, in("al") serial::TRANSMITTER_EMPTY);
}

/// An invalid instruction: the CPU stores the frame, and without protection the program ends by it.
#[inline(never)]
fn exception(at: usize) {
    undisturbed(|| stray!("mov rsp, {at}", "ud2", at = in(reg) at));
}

#[inline(never)]
fn pop(at: usize) {
    undisturbed(|| {
        let value: u64;
        stray!("mov {own}, rsp", "mov rsp, {at}", "pop {value}", "mov rsp, {own}", own = out(reg) _, at = in(reg) at,
            value = out(reg) value);
        LOADED.store(value, Ordering::SeqCst);
    });
}

/// Eight bytes of which the first four go to an ordinary page, the others to the device's first bytes.
#[inline(never)]
fn straddle_store(_: usize) {
    store64(start() - 4);
    black_box(());
}

#[inline(never)]
fn straddle_movups(_: usize) {
    stray!("movaps xmm0, [{from}]", "movups [{at}], xmm0", at = in(reg) start() - 8, from = in(reg) SOURCE.0.as_ptr(),
        out("xmm0") _, options(nostack));
}

#[inline(never)]
fn straddle_movsb(_: usize) {
    rep_movsb(start() - size_of::<Source>() / 2);
    black_box(());
}

/// Eight bytes of which the first four go to the first device's end, the others to the second device.
#[inline(never)]
fn straddle_out(_: usize) {
    let end = devices().first().map_or(0, |device| device.address_range().end.as_u64() as usize);
    store64(end - 4);
    black_box(());
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

#[inline(never)]
fn load(at: usize) {
    let value: u64;
    stray!("mov {value}, [{at}]", value = out(reg) value, at = in(reg) at, options(nostack));
    LOADED.store(value, Ordering::SeqCst);
}
