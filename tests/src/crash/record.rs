//! Boots the store under the plugin, has the clients work, and keeps what is needed to explore the run, again and
//! again.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use holdfast_trace::format::{self, Event};
use serde::{Deserialize, Serialize};
use xtask::image::PmemImage;
use xtask::qemu::{Exit, MachineOptions, Plugin};
use xtask::size::GIB;

use crate::crash::load::{Life, Phase, Size};
use crate::elf::Elf;
use crate::machine::PATIENCE;
use crate::resp::{Client, encode};
use crate::store::{Store, store_machine_of};

/// Where libos maps persistent memory, plus the physical address at which QEMU puts the first NVDIMM of a machine with
/// less than 2 GiB of RAM. A wrong address shows: what was traced would not make the image that is there in the end.
const PMEM: u64 = (1 << 44) + 4 * GIB;
/// The functions of libos by which bytes leave: std's `write`, and `send`, which ends in `sendto`.
const SEND: [&str; 2] = ["sys_write", "sys_sendto"];
/// The files of a recording.
const RUN: &str = "run.json";
const PROGRAM: &str = "kvstore";
const IMAGE: &str = "pmem0.img";

/// What a run was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The load.
    pub size: Size,
    /// The length of the persistent memory, which was blank in the beginning, in bytes.
    pub length: u64,
    /// Processors.
    pub smp: u32,
}

/// A run that was recorded.
#[derive(Debug)]
pub struct Recording {
    /// What it was.
    pub run: Run,
    /// What the clients asked for.
    pub lives: Vec<Life>,
    /// By life: what the guest did.
    pub traces: Vec<Vec<Event>>,
    /// The guest's program, for its symbols.
    pub program: PathBuf,
}

impl Run {
    /// Boots and records. What `directory` held is replaced.
    ///
    /// # Errors
    /// When the guest does not work as it does without the plugin, or the trace is not whole.
    pub fn record(&self, program: &Path, directory: &Path, say: &dyn Fn(String)) -> io::Result<Recording> {
        fs::create_dir_all(directory)?;
        let (image, lives) = (directory.join(IMAGE), self.size.load());
        match fs::remove_file(&image) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::copy(program, directory.join(PROGRAM))?;
        fs::write(directory.join(RUN), serde_json::to_string_pretty(self)?)?;
        let mut before = vec![0; self.length as usize];
        let mut traces = Vec::new();
        for (number, life) in lives.iter().enumerate() {
            let began = Instant::now();
            let path = trace_path(directory, number);
            let last = self.live(program, &image, &path, number, life)?;
            let trace = read_trace(&path)?;
            let after = fs::read(&image)?;
            compare(&mut before, &trace, &after)?;
            let operations: usize = life.phases.iter().flat_map(|phase| &phase.clients).flatten().map(Vec::len).sum();
            let fences = trace.iter().filter(|event| matches!(event, Event::Fence { .. })).count();
            say(format!(
                "boot {number}: {operations} operations by {} clients, {} events, {fences} fences, {last} segments \
                 cleaned, in {:.1} s",
                self.size.clients,
                trace.len(),
                began.elapsed().as_secs_f64()
            ));
            traces.push(trace);
        }
        Ok(Recording { run: self.clone(), lives, traces, program: directory.join(PROGRAM) })
    }

    /// One boot. Returns how many segments the pool cleaned.
    fn live(&self, program: &Path, image: &Path, trace: &Path, number: usize, life: &Life) -> io::Result<u64> {
        let opened =
            PmemImage::open(image, Some(self.length)).map_err(|error| io::Error::other(format!("{error:#}")))?;
        let options = MachineOptions {
            smp: self.smp,
            plugin: Some(self.plugin(program, image, trace)?),
            ..store_machine_of(program.to_owned(), opened)
        };
        let store = Store::try_start(options)?;
        let mut connections = (0..self.size.clients)
            .map(|client| Connection::open(store.address(), number, client as usize))
            .collect::<io::Result<Vec<_>>>()?;
        life.phases.iter().try_for_each(|phase| work(&mut connections, phase))?;
        let mut client = Client::connect(store.address())?;
        let cleaned = client.count("pool_segments_cleaned");
        // Some lives end in good order. The others end as they stand, and all that is visible stays.
        if number % 2 == 1 {
            // There is no answer: the connection ends.
            drop(client.try_command(&[b"SHUTDOWN"]));
        } else if let Err(error) = store.machine().qmp_command("quit", serde_json::json!({})) {
            return Err(io::Error::other(format!("QEMU does not quit: {error:#}")));
        }
        let exit = store.machine().wait(PATIENCE);
        match exit {
            Some(Exit::Guest(0)) => Ok(cleaned),
            _ => Err(io::Error::other(format!(
                "the machine does not end well ({exit:?}):\n{}\n{}",
                store.machine().console().lines().join("\n"),
                store.machine().console().diagnostics().join("\n")
            ))),
        }
    }

    fn plugin(&self, program: &Path, image: &Path, trace: &Path) -> io::Result<Plugin> {
        let elf = Elf::load(program);
        let text = &elf.section(".text").range;
        let mut options = vec![
            ("mode", "record".into()),
            ("out", trace.into()),
            ("image", image.into()),
            ("window", format!("{PMEM:#x}+{:#x}", self.length).into()),
            ("text", format!("{:#x}+{:#x}", text.start, text.end - text.start).into()),
        ];
        options.extend(SEND.map(|name| ("send", format!("{:#x}", elf.address(name)).into())));
        Plugin::own(options, true).map_err(|error| io::Error::other(format!("{error:#}")))
    }
}

impl Recording {
    /// Reads what [`Run::record`] left.
    ///
    /// # Errors
    /// When it is not there or not whole.
    pub fn load(directory: &Path) -> io::Result<Self> {
        let run: Run = serde_json::from_slice(&fs::read(directory.join(RUN))?)?;
        let lives = run.size.load();
        let traces =
            (0..lives.len()).map(|number| read_trace(&trace_path(directory, number))).collect::<io::Result<_>>()?;
        Ok(Self { run, lives, traces, program: directory.join(PROGRAM) })
    }
}

fn trace_path(directory: &Path, life: usize) -> PathBuf {
    directory.join(format!("boot-{life}.trace"))
}

fn read_trace(path: &Path) -> io::Result<Vec<Event>> {
    format::read(&fs::read(path)?).map_err(|error| io::Error::other(format!("{}: {error}", path.display())))
}

/// Applies a trace to the image as it was before, which becomes the one after. Every byte has to be the one that is
/// there: then no store was missed, and each was seen with its value and in its place.
fn compare(before: &mut [u8], trace: &[Event], after: &[u8]) -> io::Result<()> {
    for event in trace {
        if let Event::Store { offset, bytes, .. } = event {
            before[*offset as usize..][..bytes.len()].copy_from_slice(bytes);
        }
    }
    match before.iter().zip(after).position(|(traced, there)| traced != there) {
        None => Ok(()),
        Some(offset) => {
            Err(io::Error::other(format!("a store to offset {offset:#x} of the persistent memory was not traced")))
        }
    }
}

/// A client's connection.
struct Connection(TcpStream);

/// What the first command of a connection is answered, by which it is found in the trace.
pub(super) fn greeting(life: usize, client: usize) -> Vec<u8> {
    let name = format!("client {client} of boot {life}");
    format!("${}\r\n{name}\r\n", name.len()).into_bytes()
}

impl Connection {
    fn open(address: SocketAddr, life: usize, client: usize) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut connection = Self(stream);
        let name = format!("client {client} of boot {life}");
        connection.exchange(&encode(&[b"ECHO", name.as_bytes()]), &greeting(life, client))?;
        Ok(connection)
    }

    /// Sends a request and waits for its answer, which must be this one.
    fn exchange(&mut self, request: &[u8], answer: &[u8]) -> io::Result<()> {
        self.0.write_all(request)?;
        let mut received = vec![0; answer.len()];
        self.0.read_exact(&mut received)?;
        if received != answer {
            let [received, answer] = [&received, answer].map(String::from_utf8_lossy);
            return Err(io::Error::other(format!("the store answers {received:?} instead of {answer:?}")));
        }
        Ok(())
    }
}

/// All clients work at once.
fn work(connections: &mut [Connection], phase: &Phase) -> io::Result<()> {
    thread::scope(|scope| {
        let work = |(connection, pipelines)| {
            let (connection, pipelines): (&mut Connection, &Vec<_>) = (connection, pipelines);
            scope.spawn(move || {
                pipelines.iter().try_for_each(|pipeline: &Vec<crate::crash::load::Operation>| {
                    let request: Vec<u8> = pipeline.iter().flat_map(|operation| operation.encode()).collect();
                    let answer: Vec<u8> = pipeline.iter().flat_map(|operation| operation.reply()).collect();
                    connection.exchange(&request, &answer)
                })
            })
        };
        let threads: Vec<_> = connections.iter_mut().zip(&phase.clients).map(work).collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|_| Err(io::Error::other("a client's thread has panicked")))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_was_not_traced_is_noticed() {
        let store = |offset| Event::Store { rip: 0, offset, bytes: vec![7; 4], non_temporal: false };
        let mut image = vec![0; 16];
        compare(&mut image, &[store(4), store(6)], &[0, 0, 0, 0, 7, 7, 7, 7, 7, 7, 0, 0, 0, 0, 0, 0]).unwrap();
        let error = compare(&mut image, &[store(0)], &[7; 16]).unwrap_err();
        assert!(error.to_string().contains("offset 0xa "), "{error}");
    }
}
