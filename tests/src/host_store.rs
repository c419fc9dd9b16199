//! The store as a process of the host, on a file.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A store that accepts clients. It is killed with this, and its file goes away.
#[derive(Debug)]
pub struct HostStore {
    child: Child,
    address: SocketAddr,
    _directory: TempDir,
}

impl HostStore {
    /// Starts the program that lies beside the tests on a new file of 64 MiB, and waits until it is ready.
    pub fn start() -> Self {
        let test = std::env::current_exe().unwrap();
        let program: PathBuf = test.ancestors().nth(2).unwrap().join("kvstore");
        assert!(program.is_file(), "there is no {}: `cargo build -p kvstore` makes it", program.display());
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new(program);
        command.args(["--protection", if xtask::keys::are_here() { "pku" } else { "none" }]);
        command.args(["--size", "64M", "--port", "0", "--pmem"]).arg(directory.path().join("pmem0.img"));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.strip_prefix("kvstore: ready on port ").and_then(|rest| rest.split(' ').next()?.parse().ok());
        let address = SocketAddr::from(([127, 0, 0, 1], port.unwrap_or_else(|| panic!("not ready: {line}"))));
        Self { child, address, _directory: directory }
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for HostStore {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
