//! What happens while the guest runs: callbacks become events of the trace.

use std::collections::HashMap;
use std::ffi::{c_uint, c_void};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::decode::{self, Action};
use crate::format::{self, Event};
use crate::options::Recording;
use crate::qemu::{MemoryInfo, Opaque, PluginId, Qemu};

/// Everything that the callbacks need. There is one machine in a process, and one plugin.
static RECORDER: OnceLock<Recorder> = OnceLock::new();

/// The plugin at work.
pub struct Recorder {
    qemu: Qemu,
    options: Recording,
    image: File,
    trace: Mutex<Trace>,
    sites: Mutex<HashMap<(u64, Vec<u8>), &'static Site>>,
}

struct Trace {
    file: BufWriter<File>,
    events: u64,
    buffer: Vec<u8>,
    /// Once something is missing the trace gets no end, so nobody takes it for whole.
    failed: bool,
}

/// An instruction that matters. QEMU keeps its address for as long as the instruction is translated, which nobody
/// tells, so sites are never given back; a program has some thousand.
struct Site {
    rip: u64,
    action: Option<Action>,
    non_temporal: bool,
    sends: bool,
}

impl Recorder {
    /// Opens the files.
    pub fn open(qemu: Qemu, options: Recording) -> Result<Self, String> {
        let cannot = |what: &str, path: &std::path::Path, error: io::Error| format!("cannot {what} {path:?}: {error}");
        let image = File::open(&options.image).map_err(|error| cannot("open the image", &options.image, error))?;
        let file = File::create(&options.out).map_err(|error| cannot("create the trace", &options.out, error))?;
        let mut header = Vec::new();
        format::begin(&mut header);
        let mut file = BufWriter::with_capacity(1 << 20, file);
        file.write_all(&header).map_err(|error| cannot("write the trace", &options.out, error))?;
        let trace = Mutex::new(Trace { file, events: 0, buffer: Vec::new(), failed: false });
        Ok(Self { qemu, options, image, trace, sites: Mutex::default() })
    }

    /// Begins to record.
    pub fn start(self, id: PluginId) -> Result<(), String> {
        RECORDER.set(self).map_err(|_| "the plugin is loaded twice".to_owned())?;
        if let Some(recorder) = RECORDER.get() {
            recorder.qemu.on_translation(id, on_translation);
            recorder.qemu.on_exit(id, on_exit);
        }
        Ok(())
    }

    fn trace(&self) -> MutexGuard<'_, Trace> {
        self.trace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The site of an instruction, the same one each time that it is translated.
    fn site(&self, rip: u64, code: Vec<u8>) -> &'static Site {
        let mut sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        sites.entry((rip, code)).or_insert_with_key(|(rip, code)| {
            let rip = *rip;
            let is_guests = self.options.text.contains(&rip);
            let instruction = decode::decode(code, rip);
            Box::leak(Box::new(Site {
                rip,
                action: decode::action(&instruction).filter(|_| is_guests),
                non_temporal: decode::is_non_temporal(&instruction),
                sends: self.options.send.contains(&rip),
            }))
        })
    }

    fn translate(&self, block: *mut Opaque) {
        // SAFETY: the caller is the callback that QEMU passed the block to.
        for instruction in unsafe { self.qemu.instructions(block) } {
            let site = self.site(instruction.address(), instruction.code());
            instruction.on_store(on_store, site);
            if site.action.is_some() || site.sends {
                instruction.on_execution(on_execution, site);
            }
        }
    }

    fn execute(&self, cpu: c_uint, site: &Site) {
        let register = |number| self.qemu.register_of(cpu, number);
        match &site.action {
            Some(Action::Fence) => self.trace().push(&Event::Fence { rip: site.rip }),
            Some(Action::WriteBack(address)) => {
                let known = |number| register(number).unwrap_or_else(|| self.fail("QEMU tells no register"));
                let address = address.evaluate(known);
                if self.options.window.contains(&address) {
                    let offset = address - self.options.window.start;
                    self.trace().push(&Event::WriteBack { rip: site.rip, offset });
                }
            }
            Some(Action::Unknown) => {
                self.fail(&format!("the instruction at {:#x} writes back what cannot be followed", site.rip));
            }
            None => {}
        }
        if site.sends {
            self.send(cpu);
        }
    }

    /// A call of `write(descriptor, buffer, length)` begins: RDI, RSI, RDX (System V ABI).
    fn send(&self, cpu: c_uint) {
        let [rdi, rsi, rdx] = [7, 6, 2].map(|number| self.qemu.register_of(cpu, number));
        let (Some(descriptor), Some(buffer), Some(length)) = (rdi, rsi, rdx) else {
            self.fail("QEMU tells no register");
            return;
        };
        let descriptor = descriptor & u64::from(u32::MAX);
        // 0, 1 and 2 are the console's.
        if descriptor < 3 || length == 0 {
            return;
        }
        match usize::try_from(length).ok().and_then(|length| self.qemu.read_memory(cpu, buffer, length)) {
            Some(bytes) => self.trace().push(&Event::Send { descriptor, bytes }),
            None => drop(self.fail(&format!("{length} bytes to be sent cannot be read at {buffer:#x}"))),
        }
    }

    fn store(&self, info: MemoryInfo, address: u64, site: &Site) {
        if !self.options.window.contains(&address) || !self.qemu.is_store(info) {
            return;
        }
        let offset = address - self.options.window.start;
        let size = self.qemu.access_size(info).min(self.options.window.end - address);
        let mut bytes = vec![0; size as usize];
        // The file is mapped by QEMU, and what a process stores to a shared mapping is at once what others read.
        match self.image.read_exact_at(&mut bytes, offset) {
            Ok(()) => {
                self.trace().push(&Event::Store { rip: site.rip, offset, bytes, non_temporal: site.non_temporal });
            }
            Err(error) => drop(self.fail(&format!("cannot read the image at {offset:#x}: {error}"))),
        }
    }

    /// Says what went wrong, once, and gives the trace up. Returns a number for who needs one.
    fn fail(&self, what: &str) -> u64 {
        self.trace().fail(what);
        0
    }
}

impl Trace {
    fn push(&mut self, event: &Event) {
        if self.failed {
            return;
        }
        self.buffer.clear();
        event.encode(&mut self.buffer);
        self.events += 1;
        if let Err(error) = self.file.write_all(&self.buffer) {
            self.fail(&format!("cannot write the trace: {error}"));
        }
    }

    fn finish(&mut self) {
        if self.failed {
            return;
        }
        self.buffer.clear();
        format::end(&mut self.buffer, self.events);
        if let Err(error) = self.file.write_all(&self.buffer).and_then(|()| self.file.flush()) {
            self.fail(&format!("cannot write the trace: {error}"));
        }
        // Should a processor still run, what it does is behind the end.
        self.failed = true;
    }

    fn fail(&mut self, what: &str) {
        if !std::mem::replace(&mut self.failed, true) {
            eprintln!("holdfast-trace: {what}; the trace is given up");
        }
    }
}

extern "C" fn on_translation(_: PluginId, block: *mut Opaque) {
    if let Some(recorder) = RECORDER.get() {
        recorder.translate(block);
    }
}

extern "C" fn on_execution(cpu: c_uint, site: *mut c_void) {
    if let Some(recorder) = RECORDER.get() {
        // SAFETY: the data is the site that `translate` registered, which stays for ever and is never changed.
        recorder.execute(cpu, unsafe { &*site.cast::<Site>() });
    }
}

extern "C" fn on_store(_: c_uint, info: MemoryInfo, address: u64, site: *mut c_void) {
    if let Some(recorder) = RECORDER.get() {
        // SAFETY: as in `on_execution`.
        recorder.store(info, address, unsafe { &*site.cast::<Site>() });
    }
}

extern "C" fn on_exit(_: PluginId, _: *mut c_void) {
    if let Some(recorder) = RECORDER.get() {
        recorder.trace().finish();
    }
}
