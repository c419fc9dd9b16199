//! The shapes that are instructions and nothing else, in assembly, so that it is known which instruction goes astray.
//!
//! Each is a function of its own, so that a backtrace names it. What `black_box` stands for keeps the compiler from
//! leaving a function by jumping into the last one that it calls. None has a grant: whether it may do what it does
//! depends on who calls it. All that the instructions find in registers is as it was if the one that goes astray is
//! stepped over.

use core::arch::asm;
use core::hint::black_box;

use crate::{Place, Shape, Stores, TRAP};

/// What a stray access stores, as a number.
pub const MARK: u64 = u64::from_le_bytes(crate::MARK);

/// How a shape is made. Each is given the address of what its place is relative to ([`Place::anchor`]).
#[derive(Clone, Copy, Debug)]
pub enum Code {
    /// It stores.
    Store(fn(usize)),
    /// It stores if the sixteen bytes are these, low word first.
    Exchange(fn(usize, [u64; 2])),
    /// It loads, and returns what was there.
    Load(fn(usize) -> u64),
}

impl Code {
    /// Goes astray at this address, where these two words are. What it has loaded, if it loads.
    #[inline]
    pub fn run(self, at: usize, before: [u64; 2]) -> Option<u64> {
        match self {
            Self::Store(store) => store(at),
            Self::Exchange(exchange) => exchange(at, before),
            Self::Load(load) => return Some(load(at)),
        }
        None
    }
}

/// A shape, and how it is made.
#[derive(Clone, Copy, Debug)]
pub struct Stray {
    /// What it does.
    pub shape: Shape,
    /// The instructions.
    pub code: Code,
}

const fn stray(code: Code, shape: Shape) -> Stray {
    Stray { shape, code }
}

use Code::{Exchange, Load, Store};

/// All of them.
#[rustfmt::skip]
pub static STRAYS: [Stray; 27] = [
    stray(Store(store8), Shape::store("store8", "mov [", "store of 1 byte", 1)),
    stray(Store(store16), Shape::store("store16", "mov [", "store of 2 bytes", 2)),
    stray(Store(store32), Shape::store("store32", "mov [", "store of 4 bytes", 4)),
    stray(Store(store64), Shape::store("store64", "mov [", "store of 8 bytes", 8)),
    stray(Store(rep_movsb), Shape::store("rep-movsb", "rep movsb", "rep movsb, 64 bytes", 64).by("rep_movsb")),
    stray(Store(rep_movsq), Shape::store("rep-movsq", "rep movsq", "rep movsq, 64 bytes", 64).by("rep_movsq")),
    stray(Store(rep_stosb), Shape::store("rep-stosb", "rep stosb", "rep stosb, 64 bytes", 0).by("rep_stosb")
        .storing(Stores::Fill(64))),
    stray(Store(rep_stosq), Shape::store("rep-stosq", "rep stosq", "rep stosq, 64 bytes", 64).by("rep_stosq")),
    stray(Store(movnti), Shape::store("movnti", "movnti [", "non-temporal store, movnti", 8)),
    stray(Store(movntdq), Shape::store("movntdq", "movntdq [", "non-temporal store, movntdq", 16)),
    stray(Store(movaps), Shape::store("movaps", "movaps [", "SSE store, aligned", 16)),
    stray(Store(movups), Shape::store("movups", "movups [", "SSE store, not aligned", 16).at(Place::Middle(3))),
    stray(Store(vmovups), Shape::store("vmovups", "vmovups [", "AVX store, 32 bytes", 32)),
    stray(Store(lock_xadd), Shape::store("lock-xadd", "lock xadd", "lock xadd", 0).by("lock_xadd").storing(Stores::Sum)),
    stray(Exchange(lock_cmpxchg), Shape::store("lock-cmpxchg", "lock cmpxchg", "lock cmpxchg", 8).by("lock_cmpxchg")),
    stray(Exchange(cmpxchg16b), Shape::store("cmpxchg16b", "lock cmpxchg16b", "lock cmpxchg16b", 16)),
    stray(Store(fxsave), Shape::store("fxsave", "fxsave64 [", "fxsave, 512 bytes", 0).storing(Stores::State(512))),
    stray(Store(xsave), Shape::store("xsave", "xsave64 [", "xsave of x87, SSE and AVX state", 0)
        .storing(Stores::State(832))),
    stray(Store(push), Shape::on_stack("push", "push r", "stack pointer in pmem: push", Stores::Mark(0, 8))),
    stray(Store(call), Shape::on_stack("call", "call ", "stack pointer in pmem: call", Stores::Stack(8))),
    stray(Store(exception),
        Shape::on_stack("exception", "ud2", "stack pointer in pmem: an exception", Stores::Stack(TRAP))),
    stray(Load(pop), Shape::load("pop", "pop r", "stack pointer in pmem: pop")),
    stray(Store(straddle_store),
        Shape::store("straddle-store", "mov [", "store of 8 bytes, 4 of them before the device", 0).by("store64")
        .at(Place::Start).storing(Stores::Mark(4, 4))),
    stray(Store(straddle_movups),
        Shape::store("straddle-movups", "movups [", "SSE store, half of it before the device", 8).by("straddle_movups")
        .at(Place::Start)),
    stray(Store(straddle_movsb),
        Shape::store("straddle-movsb", "rep movsb", "rep movsb, half of it before the device", 32).by("rep_movsb")
        .at(Place::Start)),
    stray(Store(straddle_out),
        Shape::store("straddle-out", "mov [", "store of 8 bytes, 4 of them after the device", 8).by("store64")
        .at(Place::End(4))),
    stray(Load(load), Shape::load("load", "mov r", "load of 8 bytes")),
];

/// What block moves copy from.
#[repr(align(64))]
struct Source([u64; 8]);

static SOURCE: Source = Source([MARK; 8]);

/// Assembly that goes astray.
macro_rules! astray {
    ($($assembly:tt)*) => {
        // SAFETY: none for the access itself: it is the mistake that the protection is there for. It touches no memory
        // of Rust's, the stack pointer is put back before the block ends, and all that is changed is declared.
        unsafe { asm!($($assembly)*) }
    };
}

#[inline(never)]
fn store8(at: usize) {
    astray!("mov byte ptr [{at}], {mark}", at = in(reg) at, mark = in(reg_byte) MARK as u8, options(nostack));
}

#[inline(never)]
fn store16(at: usize) {
    astray!("mov word ptr [{at}], {mark:x}", at = in(reg) at, mark = in(reg) MARK, options(nostack));
}

#[inline(never)]
fn store32(at: usize) {
    astray!("mov dword ptr [{at}], {mark:e}", at = in(reg) at, mark = in(reg) MARK, options(nostack));
}

/// Stores the mark.
#[inline(never)]
pub fn store64(at: usize) {
    astray!("mov qword ptr [{at}], {mark}", at = in(reg) at, mark = in(reg) MARK, options(nostack));
}

/// Stores the mark eight times, by one instruction.
#[inline(never)]
pub fn rep_movsb(at: usize) {
    let (from, count) = (SOURCE.0.as_ptr(), size_of::<Source>());
    astray!("rep movsb", inout("rdi") at => _, inout("rsi") from => _, inout("rcx") count => _, options(nostack));
}

#[inline(never)]
fn rep_movsq(at: usize) {
    let (from, count) = (SOURCE.0.as_ptr(), size_of::<Source>() / 8);
    astray!("rep movsq", inout("rdi") at => _, inout("rsi") from => _, inout("rcx") count => _, options(nostack));
}

#[inline(never)]
fn rep_stosb(at: usize) {
    astray!("rep stosb", inout("rdi") at => _, inout("rcx") 64 => _, in("rax") MARK, options(nostack));
}

#[inline(never)]
fn rep_stosq(at: usize) {
    astray!("rep stosq", inout("rdi") at => _, inout("rcx") 8 => _, in("rax") MARK, options(nostack));
}

#[inline(never)]
fn movnti(at: usize) {
    astray!("movnti [{at}], {mark}", "sfence", at = in(reg) at, mark = in(reg) MARK, options(nostack));
}

#[inline(never)]
fn movntdq(at: usize) {
    astray!("movaps xmm0, [{from}]", "movntdq [{at}], xmm0", "sfence", at = in(reg) at, from = in(reg) SOURCE.0.as_ptr(),
        out("xmm0") _, options(nostack));
}

#[inline(never)]
fn movaps(at: usize) {
    astray!("movaps xmm0, [{from}]", "movaps [{at}], xmm0", at = in(reg) at, from = in(reg) SOURCE.0.as_ptr(),
        out("xmm0") _, options(nostack));
}

/// At an address that is aligned to nothing.
#[inline(never)]
fn movups(at: usize) {
    astray!("movaps xmm0, [{from}]", "movups [{at} + 3], xmm0", at = in(reg) at, from = in(reg) SOURCE.0.as_ptr(),
        out("xmm0") _, options(nostack));
}

#[inline(never)]
fn vmovups(at: usize) {
    astray!("vmovaps ymm0, [{from}]", "vmovups [{at}], ymm0", "vzeroupper", at = in(reg) at,
        from = in(reg) SOURCE.0.as_ptr(), out("xmm0") _, options(nostack));
}

/// Adds the mark.
#[inline(never)]
fn lock_xadd(at: usize) {
    astray!("lock xadd [{at}], {mark}", at = in(reg) at, mark = inout(reg) MARK => _, options(nostack));
}

#[inline(never)]
fn lock_cmpxchg(at: usize, [expected, _]: [u64; 2]) {
    astray!("lock cmpxchg [{at}], {mark}", at = in(reg) at, mark = in(reg) MARK, inout("rax") expected => _,
        options(nostack));
}

#[inline(never)]
fn cmpxchg16b(at: usize, [low, high]: [u64; 2]) {
    // The compiler keeps RBX for itself.
    astray!("xchg rbx, {mark}", "lock cmpxchg16b [rdi]", "xchg rbx, {mark}", mark = inout(reg) MARK => _, in("rdi") at,
        inout("rax") low => _, inout("rdx") high => _, in("rcx") MARK, options(nostack));
}

/// XMM0, which holds the mark twice, lands 160 bytes on.
#[inline(never)]
fn fxsave(at: usize) {
    astray!("movaps xmm0, [{from}]", "fxsave64 [{at}]", at = in(reg) at, from = in(reg) SOURCE.0.as_ptr(),
        out("xmm0") _, options(nostack));
}

/// As [`fxsave`], with the AVX state.
#[inline(never)]
fn xsave(at: usize) {
    astray!("movaps xmm0, [{from}]", "xsave64 [{at}]", at = in(reg) at, from = in(reg) SOURCE.0.as_ptr(), in("eax") 7,
        in("edx") 0, out("xmm0") _, options(nostack));
}

#[inline(never)]
fn push(at: usize) {
    astray!("mov {own}, rsp", "mov rsp, {at}", "push {mark}", "mov rsp, {own}", own = out(reg) _, at = in(reg) at,
        mark = in(reg) MARK);
}

#[inline(never)]
fn call(at: usize) {
    astray!("mov {own}, rsp", "mov rsp, {at}", "call 2f", "mov rsp, {own}", "jmp 3f", "2:", "ret", "3:",
        own = out(reg) _, at = in(reg) at);
}

/// An invalid instruction: whoever is told of it has something stored below the stack pointer, the CPU in the guest,
/// the kernel in a process.
#[inline(never)]
fn exception(at: usize) {
    astray!("mov {own}, rsp", "mov rsp, {at}", "ud2", "mov rsp, {own}", own = out(reg) _, at = in(reg) at);
}

#[inline(never)]
fn pop(at: usize) -> u64 {
    let value: u64;
    astray!("mov {own}, rsp", "mov rsp, {at}", "pop {value}", "mov rsp, {own}", own = out(reg) _, at = in(reg) at,
        value = out(reg) value);
    value
}

/// Eight bytes of which the first four go to an ordinary page, the others to the device's first bytes.
#[inline(never)]
fn straddle_store(start: usize) {
    store64(start - 4);
    black_box(());
}

#[inline(never)]
fn straddle_movups(start: usize) {
    astray!("movaps xmm0, [{from}]", "movups [{at}], xmm0", at = in(reg) start - 8, from = in(reg) SOURCE.0.as_ptr(),
        out("xmm0") _, options(nostack));
}

#[inline(never)]
fn straddle_movsb(start: usize) {
    rep_movsb(start - size_of::<Source>() / 2);
    black_box(());
}

/// Eight bytes of which the first four go to the device's end, the others to what is behind it.
#[inline(never)]
fn straddle_out(end: usize) {
    store64(end - 4);
    black_box(());
}

#[inline(never)]
fn load(at: usize) -> u64 {
    let value: u64;
    astray!("mov {value}, [{at}]", value = out(reg) value, at = in(reg) at, options(nostack));
    value
}
