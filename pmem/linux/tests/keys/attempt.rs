//! What is tried from each context: every shape of stray access to a device, one after the other, from wherever it is
//! made, a signal handler among it. What is not as it should be is noted, and the bytes are put back.

use std::arch::asm;
use std::ops::Range;
use std::sync::{Mutex, OnceLock};

use strays::instructions::{Code, STRAYS, Stray};
use strays::{Access, MARK, Place, Shape, Stores, TRAP};

use crate::contexts::Open;
use crate::denials::{self, By, Denial, NO_FRAME};
use crate::devices::{BEFORE, LEN};
use crate::neighbours::{Neighbour, Neighbours};
use crate::signals;

/// Where in its device most are: not the first byte of its page, nor of the map, at the alignment that XSAVE wants.
const MIDDLE: u64 = 0x4440;

/// A shape that only a process has: a signal that comes while the stack pointer is astray. The kernel stores its frame.
static SIGNAL: Stray = Stray {
    shape: Shape::on_stack("signal", "", "stack pointer in pmem: a signal comes", Stores::Stack(TRAP)),
    code: Code::Store(signal),
};

pub fn signal(at: usize) {
    let (process, thread) = (std::process::id(), rustix::thread::gettid().as_raw_nonzero().get());
    // SAFETY: none for the frame, which goes astray. The stack pointer is put back.
    unsafe {
        asm!("mov {own}, rsp", "mov rsp, {at}", "syscall", "mov rsp, {own}", own = out(reg) _, at = in(reg) at,
            inout("rax") libc::SYS_tgkill => _, in("rdi") process, in("rsi") thread, in("rdx") libc::SIGUSR2,
            out("rcx") _, out("r11") _);
    }
}

/// What is there, and what is to come of it.
struct Plan {
    neighbours: Neighbours,
    /// How much of the first device is open.
    open: Open,
}

static PLAN: OnceLock<Plan> = OnceLock::new();
/// How many were made, and what was wrong.
static FINDINGS: Mutex<(usize, Vec<String>)> = Mutex::new((0, Vec::new()));

/// Prepares the process for its attempts, to the first of these, of which this much is open.
pub fn prepare(neighbours: Neighbours, open: Open) {
    denials::install();
    assert!(PLAN.set(Plan { neighbours, open }).is_ok(), "prepared once");
}

/// What was prepared.
pub fn neighbours() -> &'static Neighbours {
    &PLAN.get().unwrap().neighbours
}

/// How many attempts were made, if all went as they should.
pub fn verdict() -> Result<usize, String> {
    let findings = FINDINGS.lock().unwrap();
    if findings.1.is_empty() { Ok(findings.0) } else { Err(findings.1.join("\n")) }
}

/// Makes all of them.
pub fn attempt() {
    let plan = PLAN.get().unwrap();
    for stray in STRAYS.iter().chain([&SIGNAL]).filter(|stray| plan.has_meaning(&stray.shape)) {
        let wrong = plan.make(stray).err();
        let mut findings = FINDINGS.lock().unwrap();
        findings.0 += 1;
        findings.1.extend(wrong.map(|wrong| format!("{}: {wrong}", stray.shape.name)));
    }
}

impl Plan {
    /// Whether a shape can be made here, and its end be told.
    fn has_meaning(&self, shape: &Shape) -> bool {
        match shape.name {
            "vmovups" => is_x86_feature_detected!("avx"),
            // The frame would be stored, and the handler be closed to it.
            name if has_frame(name) => {
                let stored = self.open == Open::LoadsAndStores || signals::frames_go_past_keys();
                self.neighbours.both[0].key.is_none() || !stored
            }
            _ => true,
        }
    }

    /// What is to be denied of a shape.
    fn expected(&self, shape: &Shape) -> Option<Denial> {
        let [first, second] = &self.neighbours.both;
        let access = if shape.access == Access::Read { denials::Access::Load } else { denials::Access::Store };
        let denial = |of: &Neighbour, offset: u64| {
            let key = of.key?;
            Some(Denial { by: By::Key(key), access, address: of.start + offset as usize })
        };
        match (self.open, shape.access, shape.place) {
            (Open::LoadsAndStores, _, Place::End(_)) => denial(second, 0),
            (Open::LoadsAndStores, ..) | (Open::Loads, Access::Read, _) => None,
            _ if has_frame(shape.name) => first.key.map(|_| NO_FRAME),
            (Open::Loads | Open::Nothing, ..) => denial(first, shape.place.first(MIDDLE, LEN as u64)),
        }
    }

    /// A denial of a shape as at its first byte, if it is at one that a processor may name for it.
    fn at_its_first_byte(&self, denial: Denial, shape: &Shape) -> Denial {
        let (start, first) = (self.neighbours.both[0].start, shape.place.first(MIDDLE, LEN as u64));
        let is_named = shape.named(first).contains(&(denial.address.wrapping_sub(start) as u64));
        if is_named { Denial { address: start + first as usize, ..denial } } else { denial }
    }

    /// Makes it, and says what is wrong with what comes of it.
    fn make(&self, stray: &Stray) -> Result<(), String> {
        let (shape, before) = (&stray.shape, u64::from_ne_bytes([BEFORE; 8]));
        let at = self.neighbours.both[0].start + shape.place.anchor(MIDDLE, LEN as u64) as usize;
        let (loaded, denial) = denials::catch(|| stray.code.run(at, [before; 2]));
        let denial = denial.map(|denial| self.at_its_first_byte(denial, shape));
        let bytes = self.neighbours.bytes();
        self.neighbours.put_back();
        match (denial, loaded) {
            _ if denial != self.expected(shape) => Err(format!("{denial:x?}, not {:x?}", self.expected(shape))),
            (Some(_), _) => judge(Stores::Nothing, 0, &bytes),
            (None, Some(loaded)) if loaded != before => Err(format!("it has loaded {loaded:x?}")),
            (None, _) => judge(shape.stores, shape.place.first(MIDDLE, LEN as u64), &bytes),
        }
    }
}

/// Whether a shape has the kernel store a signal's frame.
fn has_frame(name: &str) -> bool {
    matches!(name, "signal" | "exception")
}

/// Says what is wrong with both devices' bytes, after these stores to this place.
fn judge(stores: Stores, place: u64, bytes: &[u8]) -> Result<(), String> {
    static UNTOUCHED: [u8; 2 * LEN] = [BEFORE; 2 * LEN];
    let as_numbers = |range: Range<u64>| range.start as usize..range.end as usize;
    let range = as_numbers(stores.range(place));
    let stored = &bytes[range.clone()];
    let is_right = match (stores.bytes(u64::from_ne_bytes([BEFORE; 8])), stores.vector(place)) {
        (Some(expected), _) => expected.eq(stored.iter().copied()),
        (None, Some(vector)) => bytes[as_numbers(vector)] == *[MARK; 2].as_flattened(),
        (None, None) => *stored != UNTOUCHED[range.clone()],
    };
    let is_else_untouched =
        bytes[..range.start] == UNTOUCHED[..range.start] && bytes[range.end..] == UNTOUCHED[range.end..];
    match (is_right, is_else_untouched) {
        (true, true) => Ok(()),
        (false, _) => Err(format!("at {:#x} there is {stored:02x?}", range.start)),
        (_, false) => Err(format!("bytes outside of {range:#x?} have changed")),
    }
}
