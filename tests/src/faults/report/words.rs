//! What the page says of a campaign that is not counted: how faults are chosen, how runs are judged, and what that does
//! not show.

use crate::faults::plan::{Kind, Target};

/// What differs between guests and processes.
pub(super) struct Words {
    /// What the store runs in, up to its program's checksum.
    pub place: &'static str,
    /// The option of the command, with a space behind it.
    pub option: &'static str,
    /// What a run is.
    pub run: &'static str,
    /// How wrong addresses are chosen.
    pub wrong_addresses: &'static str,
    /// How a run is judged: a chapter.
    pub judgement: &'static str,
    /// What it does not show: a chapter.
    pub limits: &'static str,
}

/// Those of a target.
pub(super) fn words(target: Target) -> &'static Words {
    match target {
        Target::Guest => &GUEST,
        Target::Native => &NATIVE,
    }
}

const GUEST: Words = Words {
    place: "64 MiB of RAM, two NVDIMMs of 16 MiB, QEMU's TCG, guest image",
    option: "",
    run: "A store boots on a pool with 4500 acknowledged records. Two clients write (1 to 8 commands \
        at once, values mostly of 16 to 515 bytes, sometimes up to 20 KB, some DELs) and read back. After 40 to 339 acknowledged writes the guest is stopped, in two of five runs \
        wherever it is, else in one of the functions that a store under load was found in when it was sampled, after up to 11 calls and 199 instructions. The fault is injected \
        and the guest goes on until 400 further writes are acknowledged, or it ends, or hangs (no acknowledgement for 3 s while it works or sleeps, 20 s at most). \
        Then the machine is killed.",
    wrong_addresses: "A wrong address is in half of the cases the right one plus or minus 8 to 4096 bytes (a power of two), in the other half any address that is mapped and writable, \
        each byte as likely as any other. A third of those bytes are persistent memory, because the guest has 64 MiB of RAM and 32 MiB of it; nothing is aimed at \
        persistent memory beyond that.",
    judgement: "<h2>How a run is judged</h2>\n<ul>\n\
<li><b>The canary</b>: a second NVDIMM filled with a pattern. Nobody ever gets a grant for it, so any change is a store outside of an open grant, whatever else is known.</li>\n\
<li><b>The rest of the pool's device</b>: its superblocks, the segments that were full before the run, and space never used (which holds a pattern) are compared byte by byte.</li>\n\
<li><b>Every record</b> is read by the pool's own code, which checks its checksum, and every key is compared with what the clients were told.</li>\n\
<li>A value that is wrong in a whole record with a right checksum, or was never stored, was wrong <b>before the store</b>.</li>\n\
<li>Bytes of the pool's device that are overwritten, or records that are not readable, are <b>inside an open grant</b> only if protection was found whole on every CPU at the end: \
CR4 and CR0.WP, the canary's key closed in the register itself (the guest's own RDMSR is executed to read it), every leaf that maps persistent memory, or carries a key, as before the fault. \
Where the machine was gone before that could be looked at, or the fault was aimed at saved rights, it is <b>undecided</b> and counts against protection.</li>\n\
<li>In the control group no grant means anything. What is overwritten where nothing had to be stored counts as <b>outside of grants</b>; records that the run \
itself stored and that are not readable count as <b>inside</b>, since the store may have spoilt them itself.</li>\n</ul>\n",
    limits: "<h2>What this does not show</h2>\n<ul>\n\
<li>The plan of a run follows from the seed exactly; where the CPUs are when it is carried out does not. QEMU's TCG with several CPUs and a network is not deterministic, and \
<code>-icount</code> alone would not make it so, since packets and the debugger come from outside. So a run that is repeated gets the same fault at the same place in the code, on slightly different memory.</li>\n\
<li>The evidence for <b>inside an open grant</b> is that of the beginning and the end. Something that opened a key and closed it again in between would not be seen on the pool's device; on the canary it would leave its trace.</li>\n\
<li>The end of the last segments that a run filled is judged by checksums only: a stray byte in the free part of a segment in use is not seen.</li>\n\
<li>A run lasts some hundred writes. A fault that shows later counts as unaffected.</li>\n\
<li>An emulator was used: DMA, caches and speculation of real machines were not.</li>\n</ul>\n",
};

const NATIVE: Words = Words {
    place: "two files of 16 MiB in RAM, the store for Linux",
    option: "--native ",
    run: "A store starts on a pool with 4500 acknowledged records, without randomised addresses. Two clients write (1 to 8 commands \
        at once, values mostly of 16 to 515 bytes, sometimes up to 20 KB, some DELs) and read back. After 40 to 339 acknowledged writes all its threads are stopped by ptrace(2), in two of five runs \
        wherever they are, else in one of the functions that a store under load was found in when it was sampled, after up to 11 calls and 199 instructions. The fault is injected \
        and the store goes on until 400 further writes are acknowledged, or it ends, or hangs (no acknowledgement for 3 s while it works or sleeps, 20 s at most). \
        Then it is killed.",
    wrong_addresses: "A wrong address is in half of the cases the right one plus or minus 8 to 4096 bytes (a power of two), in the other half any address that is mapped and writable, \
        each byte as likely as any other. Most of those bytes are persistent memory, because the process has little else; nothing is aimed at \
        persistent memory beyond that.",
    judgement: "<h2>How a run is judged</h2>\n<ul>\n\
<li><b>The canary</b>: a second file filled with a pattern, which the store is made to map under a protection key of its own. Nobody ever opens that key, so any change is a store outside of an open grant, whatever else is known.</li>\n\
<li><b>The rest of the pool's file</b>: its superblocks, the segments that were full before the run, and space never used (which holds a pattern) are compared byte by byte.</li>\n\
<li><b>Every record</b> is read by the pool's own code, which checks its checksum, and every key is compared with what the clients were told.</li>\n\
<li>A value that is wrong in a whole record with a right checksum, or was never stored, was wrong <b>before the store</b>.</li>\n\
<li>A store is <b>stopped</b> when it ends by a SIGSEGV of which the kernel says that a protection key has denied the access (SEGV_PKUERR). Strays to the pool's file leave a report of Holdfast's, those to the canary, which is none of its devices, do not.</li>\n\
<li>Bytes of the pool's file that are overwritten, or records that are not readable, are <b>inside an open grant</b> only if protection was found whole at the end: \
the canary's key closed in the register of every thread, and both files mapped as before the fault, with their keys, and nowhere else. \
Where the process was gone before that could be looked at, it is <b>undecided</b> and counts against protection.</li>\n\
<li>In the control group no grant means anything. What is overwritten where nothing had to be stored counts as <b>outside of grants</b>; records that the run \
itself stored and that are not readable count as <b>inside</b>, since the store may have spoilt them itself.</li>\n</ul>\n",
    limits: "<h2>What this does not show</h2>\n<ul>\n\
<li>The plan of a run follows from the seed exactly; where the threads are when it is carried out does not. So a run that is repeated gets the same fault at the same place in the code, on slightly different memory.</li>\n\
<li>The evidence for <b>inside an open grant</b> is that of the beginning and the end. Something that opened a key and closed it again in between would not be seen on the pool's file; on the canary it would leave its trace.</li>\n\
<li>Faults are injected into the process alone: not into the kernel, and not into the register of rights.</li>\n\
<li>The end of the last segments that a run filled is judged by checksums only: a stray byte in the free part of a segment in use is not seen.</li>\n\
<li>A run lasts some hundred writes. A fault that shows later counts as unaffected.</li>\n</ul>\n",
};

/// How a fault of a kind is chosen.
pub(super) fn how(target: Target, kind: Kind) -> &'static str {
    match kind {
        Kind::SavedContext if target == Target::Native => "1 bit of a register of a thread that waits in the kernel",
        Kind::Text => "10 bits: 5 in instructions that the CPU has just executed, 5 anywhere in the code",
        Kind::Data => "10 bits anywhere in the initialised and zeroed variables",
        Kind::Heap => {
            "10 bits anywhere on the heap that can be reached from variables, stacks and registers (found as a conservative collector would)"
        }
        Kind::Stack => "4 bits in the 2 KiB at the top of the running thread's stack, or of one that waits",
        Kind::Registers => "1 bit of a general register, in one of five runs of a vector register",
        Kind::SavedContext => {
            "1 bit of what a waiting thread has saved: a register, the return address, the stack pointer or the rights"
        }
        Kind::Pointer => {
            "4 words that hold an address: on the stack near its top, on the heap, at most one in a register"
        }
        Kind::CopyOverrun => {
            "3 of the next copies (memcpy, memmove, copies to persistent memory) get longer: by 1 byte (50 %), 2 to 1024 (44 %), 2 to 4 KiB (6 %), as in Rio"
        }
        Kind::OffByOne => {
            "3 of the next copies are one byte longer or shorter; or one executed conditional jump takes equality the other way"
        }
        Kind::LostLock => "one executed compare-and-exchange always says that it has succeeded and changes nothing",
        Kind::UseAfterFree => "3 of the next blocks that are allocated are freed at once, and used on",
        Kind::Destination => {
            "the general register that the next instruction changes gets one bit flipped, or a wrong address"
        }
        Kind::WildJump => {
            "execution goes on at any byte of the code (40 %), at any function (30 %), at any mapped address (30 %)"
        }
        Kind::DeletedInstruction => "3 of the next instructions become no-operations for good",
        Kind::WildStore => "8 bytes are stored to any mapped and writable address, with the rights of that moment",
        Kind::Index => "10 bits in entries of the pool's index",
    }
}
