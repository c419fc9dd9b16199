//! Starts the program, and talks to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Longer than anything here takes.
pub const HANG: Duration = Duration::from_secs(60);

/// A directory that is removed in the end.
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new empty directory.
    pub fn new() -> Self {
        Self::below(&std::env::temp_dir()).unwrap()
    }

    /// The same, in this directory.
    pub fn below(directory: &Path) -> std::io::Result<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("kvstore-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = directory.join(name);
        std::fs::create_dir(&path).map(|()| Self(path))
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The best protection that there is here. Where it is none, the store has to be told.
pub fn protection() -> &'static str {
    let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    if processors.split_whitespace().any(|flag| flag == "ospke") { "pku" } else { "none" }
}

/// The program with arguments, and the protection that there is here, not started yet.
pub fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO_BIN_EXE_kvstore").unwrap());
    command.args(["--protection", protection()]).args(arguments).stdin(Stdio::null());
    command
}

/// Starts the program, which is not to become ready; returns its exit code and what it wrote to standard error.
pub fn refusal(command: &mut Command) -> (i32, String) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
    if first.contains("ready") {
        child.kill().unwrap();
        panic!("{command:?} is served: {first}");
    }
    let output = child.wait_with_output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// A running server; killed when it is dropped.
pub struct Server {
    child: Child,
    output: Option<BufReader<std::process::ChildStdout>>,
    /// The line with which it said that it is ready.
    pub ready: String,
    /// Its TCP port.
    pub port: u16,
}

impl Server {
    /// Starts a server on `file`, which has 64 MiB if it is new, and waits until it is ready.
    pub fn start(file: &Path) -> Self {
        Self::start_with(file, &[])
    }

    /// The same with more arguments.
    pub fn start_with(file: &Path, more: &[&str]) -> Self {
        let mut arguments = vec!["--pmem", file.to_str().unwrap(), "--size", "64M", "--port", "0"];
        arguments.extend_from_slice(more);
        Self::spawn(&mut program(&arguments))
    }

    /// Starts a server by this command, and waits until it is ready.
    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut ready = String::new();
        output.read_line(&mut ready).unwrap();
        let port = ready.strip_prefix("kvstore: ready on port ").and_then(|rest| rest.split(' ').next()?.parse().ok());
        let port = port.unwrap_or_else(|| panic!("not ready: {ready:?}"));
        Self { child, output: Some(output), ready, port }
    }

    /// A connection to it.
    pub fn connect(&self) -> Client {
        self.over(TcpStream::connect(("127.0.0.1", self.port)).unwrap())
    }

    /// The same over a connection that is there.
    pub fn over(&self, stream: TcpStream) -> Client {
        stream.set_read_timeout(Some(HANG)).unwrap();
        stream.set_write_timeout(Some(HANG)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { reader: BufReader::new(stream) }
    }

    /// Reads no more of what it prints.
    pub fn stop_reading(&mut self) {
        self.output = None;
    }

    /// Sends it a signal, by its name.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// Kills it with SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it ends by itself; returns how, and what it printed after it was ready.
    pub fn wait(mut self) -> (ExitStatus, String) {
        let mut rest = String::new();
        self.output.take().map(|mut output| output.read_to_string(&mut rest).unwrap());
        (self.child.wait().unwrap(), rest)
    }

    /// Waits until it ends by itself; returns how, and what it wrote to its standard error, which is piped.
    pub fn wait_and_read_errors(mut self) -> (ExitStatus, String) {
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap(), said)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client's connection.
pub struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    /// The socket.
    pub fn stream(&self) -> &TcpStream {
        self.reader.get_ref()
    }

    /// Sends bytes.
    pub fn write(&mut self, data: &[u8]) {
        self.reader.get_mut().write_all(data).unwrap();
    }

    /// Reads one reply whole: for a string its bytes, else its line, for an array the elements' replies, with a space
    /// between. A connection that has ended gives an error.
    pub fn try_read(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        let (kind, rest) = line.split_at(1);
        match (kind, rest.parse::<usize>()) {
            ("$", Ok(length)) => {
                let mut value = vec![0; length + 2];
                self.reader.read_exact(&mut value)?;
                value.truncate(length);
                Ok(String::from_utf8_lossy(&value).into_owned())
            }
            ("*", Ok(length)) => {
                let elements: std::io::Result<Vec<String>> = (0..length).map(|_| self.try_read()).collect();
                Ok(elements?.join(" "))
            }
            _ => Ok(line.to_string()),
        }
    }

    /// Reads one reply.
    pub fn read(&mut self) -> String {
        self.try_read().unwrap()
    }

    /// Sends one request and reads its reply.
    pub fn ask(&mut self, words: &[&str]) -> String {
        self.write(&request(words));
        self.read()
    }

    /// Sends one request and reads its reply; fails if the connection ends.
    pub fn try_ask(&mut self, words: &[&str]) -> std::io::Result<String> {
        self.reader.get_mut().write_all(&request(words))?;
        self.try_read()
    }

    /// The number of a field of `INFO`.
    pub fn info(&mut self, field: &str) -> u64 {
        let text = self.ask(&["info"]);
        let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {field} in {text}"))
    }

    /// Reads to the end of the connection; an abrupt end is an end, too.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.reader.read_to_end(&mut rest) {
            Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => panic!("{error}"),
            _ => rest,
        }
    }
}

/// A request as client libraries send it.
pub fn request(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len());
    for word in words {
        bytes.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    bytes.into_bytes()
}
