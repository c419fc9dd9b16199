//! What the processor executes of write-backs, fences and system calls: by single steps of the running thread, of which
//! the kernel tells by SIGTRAP, with the place of the next instruction.

use std::arch::asm;
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, Once, PoisonError};

/// What was executed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// CLWB, CLFLUSHOPT and CLFLUSH.
    pub write_backs: usize,
    /// SFENCE.
    pub fences: usize,
    /// System calls, by their numbers.
    pub system_calls: Vec<i64>,
}

/// The trap flag.
const TRAP: i64 = 1 << 8;
/// As many system calls are told apart.
const CALLS: usize = 64;

static WRITE_BACKS: AtomicUsize = AtomicUsize::new(0);
static FENCES: AtomicUsize = AtomicUsize::new(0);
static CALLED: [AtomicI64; CALLS] = [const { AtomicI64::new(0) }; CALLS];
static CALL_COUNT: AtomicUsize = AtomicUsize::new(0);
static FAIL: AtomicBool = AtomicBool::new(false);
/// Held while somebody looks: what is seen is one thread's.
static LOOKING: Mutex<()> = Mutex::new(());

/// Runs `f` step by step; what it executed.
pub fn seen(f: impl FnOnce()) -> Seen {
    let _looking = LOOKING.lock().unwrap_or_else(PoisonError::into_inner);
    prepare(false);
    set_trap(true);
    f();
    set_trap(false);
    Seen {
        write_backs: WRITE_BACKS.load(SeqCst),
        fences: FENCES.load(SeqCst),
        system_calls: CALLED.iter().take(CALL_COUNT.load(SeqCst)).map(|call| call.load(SeqCst)).collect(),
    }
}

/// Runs `f` until it asks the kernel to bring a file to its disk. The kernel is not asked: the answer is that the disk
/// has an error. What `f` does from there on is not looked at.
pub fn with_failing_disk<R>(f: impl FnOnce() -> R) -> R {
    let _looking = LOOKING.lock().unwrap_or_else(PoisonError::into_inner);
    prepare(true);
    set_trap(true);
    let result = f();
    set_trap(false);
    assert!(!FAIL.load(SeqCst), "the kernel was not asked");
    result
}

fn prepare(fail: bool) {
    static ONCE: Once = Once::new();
    // SAFETY: zeros are an action; the handler reads code, and writes atomics and its own frame.
    ONCE.call_once(|| unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = step as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        assert_eq!(libc::sigaction(libc::SIGTRAP, &action, ptr::null_mut()), 0);
    });
    for count in [&WRITE_BACKS, &FENCES, &CALL_COUNT] {
        count.store(0, SeqCst);
    }
    FAIL.store(fail, SeqCst);
}

#[inline(never)]
fn set_trap(on: bool) {
    let (keep, set) = if on { (!0, TRAP) } else { (!TRAP, 0) };
    // SAFETY: nothing of the flags changes but whether each instruction is told of, which `step` hears.
    unsafe { asm!("pushfq", "and [rsp], {}", "or [rsp], {}", "popfq", in(reg) keep, in(reg) set) };
}

/// Looks at the instruction that comes next.
extern "C" fn step(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel hands over this thread's frame, which is nobody else's meanwhile.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let [rip, rax, flags] = [libc::REG_RIP, libc::REG_RAX, libc::REG_EFL].map(|register| register as usize);
    // SAFETY: the processor is about to read the instruction there, with at least two bytes; the others are read only
    // behind bytes that have more to follow.
    let code = |index: usize| unsafe { (registers[rip] as *const u8).add(index).read() };
    match instruction(code) {
        Instruction::WriteBack => drop(WRITE_BACKS.fetch_add(1, SeqCst)),
        Instruction::Fence => drop(FENCES.fetch_add(1, SeqCst)),
        Instruction::SystemCall => {
            let number = registers[rax];
            CALLED[CALL_COUNT.fetch_add(1, SeqCst)].store(number, SeqCst);
            let syncs = [libc::SYS_fdatasync, libc::SYS_fsync, libc::SYS_msync].contains(&number);
            if syncs && FAIL.swap(false, SeqCst) {
                registers[rip] += 2;
                registers[rax] = -i64::from(libc::EIO);
                registers[flags] &= !TRAP;
            }
        }
        Instruction::Other => {}
    }
}

/// What is looked for.
enum Instruction {
    WriteBack,
    Fence,
    SystemCall,
    Other,
}

/// Tells an instruction by its bytes (Intel SDM volume 2).
fn instruction(code: impl Fn(usize) -> u8) -> Instruction {
    let mut at = 0;
    let operand_size = code(at) == 0x66;
    at += usize::from(operand_size);
    at += usize::from(matches!(code(at), 0x40..=0x4f));
    if code(at) != 0x0f {
        return Instruction::Other;
    }
    match code(at + 1) {
        0x05 => Instruction::SystemCall,
        0xae => match (operand_size, code(at + 2) >> 6, (code(at + 2) >> 3) & 7) {
            (false, 3, 7) => Instruction::Fence,
            (true, 0..3, 6 | 7) | (false, 0..3, 7) => Instruction::WriteBack,
            _ => Instruction::Other,
        },
        _ => Instruction::Other,
    }
}
