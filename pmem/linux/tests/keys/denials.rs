//! Accesses that may be denied: what the kernel says of each, after which the program goes on behind it.
//!
//! The handler of SIGSEGV steps over the instruction that was denied, without the access. It takes the place of the
//! one that the first device of the process has brought.

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use iced_x86::{Decoder, DecoderOptions};
use libc::{c_int, c_void, greg_t, siginfo_t, ucontext_t};

use crate::child;

/// Who has denied an access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// The key with this number.
    Key(u32),
    /// A page's permissions.
    Page,
    /// Nothing is mapped there.
    Nothing,
    /// The kernel could not store the frame of another signal.
    NoFrame,
}

/// What was denied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    Load,
    Store,
    Jump,
}

/// An access that was denied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Denial {
    pub by: By,
    pub access: Access,
    /// The first byte that was denied.
    pub address: usize,
}

/// That no frame of a signal could be stored; the kernel does not say where.
pub const NO_FRAME: Denial = Denial { by: By::NoFrame, access: Access::Store, address: 0 };

/// What the kernel says of a signal (`asm-generic/siginfo.h`).
const SEGV_MAPERR: c_int = 1;
const SEGV_ACCERR: c_int = 2;
const SEGV_PKUERR: c_int = 4;
const SI_KERNEL: c_int = 0x80;
/// Where `si_pkey` is, in bytes: behind the address, its width, and padding of a pointer's size.
const PKEY: usize = 32;
/// Bits of a page fault's error code (SDM volume 3A, section 4.7).
const WRITE: greg_t = 1 << 1;
const FETCH: greg_t = 1 << 4;
/// The longest instruction, in bytes, and the one that is invalid.
const LONGEST: usize = 15;
const UD2: [u8; 2] = [0x0f, 0x0b];

/// What the last denial was, as the handler leaves it, and how many there were since [`catch`] began.
static CATCHING: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicU32 = AtomicU32::new(0);
static CODE: AtomicU32 = AtomicU32::new(0);
static KEY: AtomicU32 = AtomicU32::new(0);
static ADDRESS: AtomicUsize = AtomicUsize::new(0);
static ERROR: AtomicU64 = AtomicU64::new(0);

/// Has the signals of the process come here, once its first device is open.
pub fn install() {
    // Its tables are made with the first instruction, which is not to be in a handler.
    let _ = Decoder::new(64, &UD2, DecoderOptions::NONE).decode();
    handle(libc::SIGSEGV, step_over, libc::SA_ONSTACK);
    // These have the interrupted stack, wherever that is.
    handle(libc::SIGILL, skip_invalid, 0);
    handle(libc::SIGUSR2, nothing, 0);
}

/// A handler of signals.
type Handler = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);

fn handle(signal: c_int, handler: Handler, flags: c_int) {
    // SAFETY: all zeros are a `sigaction` without flags and with an empty mask.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = handler as usize;
    action.sa_flags = libc::SA_SIGINFO | flags;
    // SAFETY: the handlers call only what may be called in one.
    assert_eq!(unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) }, 0);
}

/// Does what may be denied once; what came of it.
pub fn catch<R>(f: impl FnOnce() -> R) -> (R, Option<Denial>) {
    use_own_stack();
    COUNT.store(0, Ordering::Relaxed);
    CATCHING.store(true, Ordering::SeqCst);
    let result = f();
    CATCHING.store(false, Ordering::SeqCst);
    let count = COUNT.load(Ordering::Relaxed);
    assert!(count <= 1, "{count} accesses were denied, the last as {:?}", last());
    (result, (count == 1).then(last))
}

/// The last denial.
fn last() -> Denial {
    let error = ERROR.load(Ordering::Relaxed).cast_signed();
    let by = match CODE.load(Ordering::Relaxed).cast_signed() {
        SEGV_PKUERR => By::Key(KEY.load(Ordering::Relaxed)),
        SEGV_ACCERR => By::Page,
        SEGV_MAPERR => By::Nothing,
        SI_KERNEL => return NO_FRAME,
        other => panic!("SIGSEGV with the code {other}"),
    };
    let access = match error {
        _ if error & FETCH != 0 => Access::Jump,
        _ if error & WRITE != 0 => Access::Store,
        _ => Access::Load,
    };
    Denial { by, access, address: ADDRESS.load(Ordering::Relaxed) }
}

/// Gives this thread a stack for the handler that has room for all registers and for the decoder.
fn use_own_stack() {
    const SIZE: usize = 128 << 10;
    thread_local!(static STACK: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) });
    STACK.with_borrow_mut(|stack| {
        if stack.is_empty() {
            stack.resize(SIZE, 0);
            let new = libc::stack_t { ss_sp: stack.as_mut_ptr().cast(), ss_flags: 0, ss_size: SIZE };
            // SAFETY: the bytes are the thread's until it ends, and nothing but the handler uses them.
            assert_eq!(unsafe { libc::sigaltstack(&raw const new, ptr::null_mut()) }, 0);
        }
    });
}

/// SIGSEGV's handler: notes why it came, and has the program go on behind the instruction.
extern "C" fn step_over(_: c_int, info: *mut siginfo_t, context: *mut c_void) {
    if !CATCHING.load(Ordering::SeqCst) {
        // SAFETY: it may be called in a handler.
        unsafe { libc::_exit(child::STRAYED) }
    }
    // SAFETY: the kernel hands over the reasons, with room for an address and a key's number, and the frame from which
    // the program goes on.
    let (code, address, key, registers) = unsafe {
        let registers = &mut (*context.cast::<ucontext_t>()).uc_mcontext.gregs;
        ((*info).si_code, (*info).si_addr() as usize, info.byte_add(PKEY).cast::<u32>().read(), registers)
    };
    let error = registers[libc::REG_ERR as usize];
    CODE.store(code.cast_unsigned(), Ordering::Relaxed);
    ADDRESS.store(address, Ordering::Relaxed);
    KEY.store(key, Ordering::Relaxed);
    ERROR.store(error.cast_unsigned(), Ordering::Relaxed);
    COUNT.fetch_add(1, Ordering::Relaxed);
    let at = registers[libc::REG_RIP as usize] as *const u8;
    registers[libc::REG_RIP as usize] = match code {
        SI_KERNEL => behind_invalid(at) as greg_t,
        _ if error & FETCH != 0 => {
            // SAFETY: it was jumped to by a call, whose return address is on the stack.
            let back = unsafe { (registers[libc::REG_RSP as usize] as *const greg_t).read() };
            registers[libc::REG_RSP as usize] += size_of::<greg_t>() as greg_t;
            back
        }
        _ => at.wrapping_add(length(at)) as greg_t,
    };
}

/// How long the instruction at this address is.
fn length(at: *const u8) -> usize {
    // SAFETY: the program was about to run it, and more of its code is behind it.
    let bytes = unsafe { std::slice::from_raw_parts(at, LONGEST) };
    Decoder::new(64, bytes, DecoderOptions::NONE).decode().len()
}

/// This address, or the one behind the invalid instruction that is there.
fn behind_invalid(at: *const u8) -> *const u8 {
    // SAFETY: as above.
    let is_invalid = unsafe { at.cast::<[u8; 2]>().read() } == UD2;
    at.wrapping_add(if is_invalid { UD2.len() } else { 0 })
}

/// SIGILL's handler.
extern "C" fn skip_invalid(_: c_int, _: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the frame from which the program goes on, behind the invalid instruction.
    unsafe { (*context.cast::<ucontext_t>()).uc_mcontext.gregs[libc::REG_RIP as usize] += UD2.len() as greg_t };
}

extern "C" fn nothing(_: c_int, _: *mut siginfo_t, _: *mut c_void) {}
