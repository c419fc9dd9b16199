//! How often each block of the guest's instructions is executed, and how much memory it touches.
//!
//! QEMU adds to the counters in the code that it translates, which is exact where one thread runs all processors (one
//! processor, or `-accel tcg,thread=single`). Who connects to the plugin's socket is told all blocks
//! ([`crate::snapshot`]), and takes the difference of two such answers.

use std::collections::HashMap;
use std::ffi::{c_uint, c_void};
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use crate::options::Counting;
use crate::qemu::{MemoryInfo, Opaque, PluginId, Qemu};
use crate::snapshot::{self, Accesses};

/// Everything that the callbacks need. There is one machine in a process, and one plugin.
static COUNTER: OnceLock<Counter> = OnceLock::new();

/// The plugin at work.
pub struct Counter {
    qemu: Qemu,
    listener: UnixListener,
    blocks: Mutex<HashMap<(u64, usize), &'static Block>>,
}

/// The counters of a block. QEMU keeps their addresses for as long as the block is translated, which nobody tells, so
/// they are never given back; a program has some ten thousand blocks.
#[derive(Debug)]
struct Block {
    executions: AtomicU64,
    instructions: Vec<Site>,
}

/// The counters of an instruction.
#[derive(Debug, Default)]
struct Site {
    accesses: AtomicU64,
    device_accesses: AtomicU64,
}

impl Block {
    fn new(instructions: usize) -> Self {
        let instructions = std::iter::repeat_with(Site::default).take(instructions).collect();
        Self { executions: AtomicU64::default(), instructions }
    }

    fn tell(&self, address: u64) -> snapshot::Block {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let accesses = |site: &Site| Accesses { all: count(&site.accesses), device: count(&site.device_accesses) };
        let instructions = self.instructions.iter().map(accesses).collect();
        snapshot::Block { address, executions: count(&self.executions), instructions }
    }
}

impl Counter {
    /// Begins to listen.
    pub fn open(qemu: Qemu, options: &Counting) -> Result<Self, String> {
        let listener = UnixListener::bind(&options.socket)
            .map_err(|error| format!("cannot listen at {:?}: {error}", options.socket))?;
        Ok(Self { qemu, listener, blocks: Mutex::default() })
    }

    /// Begins to count, and to answer.
    pub fn start(self, id: PluginId) -> Result<(), String> {
        COUNTER.set(self).map_err(|_| "the plugin is loaded twice".to_owned())?;
        if let Some(counter) = COUNTER.get() {
            thread::Builder::new().spawn(|| counter.answer()).map_err(|error| error.to_string())?;
            counter.qemu.on_translation(id, on_translation);
        }
        Ok(())
    }

    fn blocks(&self) -> MutexGuard<'_, HashMap<(u64, usize), &'static Block>> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells everyone who connects all blocks.
    fn answer(&self) {
        for client in self.listener.incoming() {
            let told = client.and_then(|mut client| client.write_all(snapshot::write(&self.snapshot()).as_bytes()));
            if let Err(error) = told {
                eprintln!("holdfast-trace: the counts were not told: {error}");
            }
        }
    }

    fn snapshot(&self) -> Vec<snapshot::Block> {
        self.blocks().iter().map(|(&(address, _), block)| block.tell(address)).collect()
    }

    fn translate(&self, translated: *mut Opaque) {
        // SAFETY: the caller is the callback that QEMU passed the block to.
        let (address, instructions) = unsafe {
            let instructions: Vec<_> = self.qemu.instructions(translated).collect();
            (self.qemu.block_address(translated), instructions)
        };
        let length = instructions.len();
        let new = || &*Box::leak(Box::new(Block::new(length)));
        let block = *self.blocks().entry((address, length)).or_insert_with(new);
        // SAFETY: as above.
        unsafe { self.qemu.count_executions(translated, &block.executions) };
        for (instruction, site) in instructions.iter().zip(&block.instructions) {
            instruction.count_accesses(&site.accesses);
            instruction.on_access(on_access, site);
        }
    }
}

extern "C" fn on_translation(_: PluginId, block: *mut Opaque) {
    if let Some(counter) = COUNTER.get() {
        counter.translate(block);
    }
}

extern "C" fn on_access(_: c_uint, info: MemoryInfo, address: u64, site: *mut c_void) {
    if let Some(counter) = COUNTER.get()
        && counter.qemu.is_device(info, address)
    {
        // SAFETY: the data is the site that `translate` registered, which stays for ever and is only shared.
        unsafe { &*site.cast::<Site>() }.device_accesses.fetch_add(1, Ordering::Relaxed);
    }
}
