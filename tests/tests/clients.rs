//! Other people's client libraries against the store, in a machine and on the host: whatever they are told of a
//! transaction is true, and nothing of it runs that they were told has not.
//!
//! `cargo xtask test clients` installs the libraries. The programs in `tests/clients` each try four transactions that
//! increment `counter` twice, as an application would that tries again, and print a line for each fact:
//!
//! - `done`, or `refused` and the message: what came of a transaction;
//! - `plain 1 2`: what a pipeline without a transaction answered, that increments `plain` twice;
//! - `usable hello`: what the same connection reads afterwards;
//! - `fields NAME without`, and the fields of `CLIENT INFO` or `CLIENT LIST` that the library has not found (Python);
//! - `no database` and the message: what came of a connection that is to use database 1 (node-redis).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use holdfast_tests::host_store::HostStore;
use holdfast_tests::resp::Client;
use holdfast_tests::store::{Store, StoreImage};
use xtask::clients::CLIENTS_VARIABLE;
use xtask::size::MIB;
use xtask::workspace;

/// How many transactions a program tries.
const TRANSACTIONS: usize = 4;
/// How long a program may take, in seconds, as `timeout` takes it. It is far longer than any needs.
const PATIENCE: &str = "180";

/// Where the libraries are.
fn libraries() -> PathBuf {
    let directory = std::env::var_os(CLIENTS_VARIABLE);
    directory.unwrap_or_else(|| panic!("{CLIENTS_VARIABLE} is not set: use cargo xtask test clients")).into()
}

/// A command that ends, if not by itself.
fn command(program: &Path) -> Command {
    assert!(program.is_file(), "there is no {}: it could not be installed", program.display());
    let mut command = Command::new("timeout");
    command.arg(PATIENCE).arg(program);
    command
}

/// The program of this name in `tests/clients`.
fn script(name: &str) -> PathBuf {
    workspace::root().join("tests/clients").join(name)
}

fn python(library: &str) -> Command {
    let mut python = command(&libraries().join("python/bin/python"));
    python.arg(script("python.py")).arg(library);
    python
}

fn node(library: &str, name: &str) -> Command {
    let modules = libraries().join("node/node_modules");
    assert!(
        modules.join(library).is_dir(),
        "there is no {library} in {}: it could not be installed",
        modules.display()
    );
    let mut node = Command::new("timeout");
    node.args([PATIENCE, "node"]).arg(script(name)).env("NODE_PATH", modules);
    node
}

/// Runs the client against both kinds of store, and looks at what it printed and at what is in the store then.
fn try_both(client: impl Fn() -> Command, more: &[&str]) {
    let host = HostStore::start();
    try_one(client(), host.address(), more);
    let image = StoreImage::new(64 * MIB);
    let machine = Store::boot(&image);
    try_one(client(), machine.address(), more);
}

fn try_one(mut client: Command, store: SocketAddr, more: &[&str]) {
    let output = client.arg(store.port().to_string()).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let shown = format!("{client:?}: {}\n{printed}{}", output.status, String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{shown}");

    let (outcomes, rest): (Vec<&str>, Vec<&str>) =
        printed.lines().partition(|line| line.starts_with("done") || line.starts_with("refused"));
    assert_eq!(outcomes.len(), TRANSACTIONS, "{shown}");
    let done = outcomes.iter().filter(|line| line.starts_with("done")).count();
    for refused in outcomes.iter().filter(|line| line.starts_with("refused")) {
        let says_why = refused.contains("there are no transactions yet") || refused.contains("EXECABORT");
        assert!(says_why, "an error for another reason: {refused}\n{shown}");
    }
    assert_eq!(rest, [&["plain 1 2", "usable hello"], more].concat(), "{shown}");

    // What really happened, told to somebody else.
    let mut other = Client::connect(store).unwrap();
    let number = |value: Option<Vec<u8>>| value.map_or(0, |value| String::from_utf8(value).unwrap().parse().unwrap());
    assert_eq!(number(other.get("counter")), 2 * done, "{shown}");
    assert_eq!(number(other.get("plain")), 2, "{shown}");
}

#[test]
#[ignore = "needs the client libraries: cargo xtask test clients"]
fn redis_py_is_told_the_truth_of_its_transactions() {
    try_both(|| python("redis"), &["fields tester without"; 2]);
}

#[test]
#[ignore = "needs the client libraries: cargo xtask test clients"]
fn valkey_py_is_told_the_truth_of_its_transactions() {
    try_both(|| python("valkey"), &["fields tester without"; 2]);
}

#[test]
#[ignore = "needs the client libraries: cargo xtask test clients"]
fn node_redis_is_told_the_truth_of_its_transactions() {
    try_both(|| node("@redis/client", "node-redis.cjs"), &["no database ERR DB index is out of range"]);
}

#[test]
#[ignore = "needs the client libraries: cargo xtask test clients"]
fn ioredis_is_told_the_truth_of_its_transactions() {
    try_both(|| node("ioredis", "ioredis.cjs"), &[]);
}

#[test]
#[ignore = "needs the client libraries: cargo xtask test clients"]
fn redis_rs_is_told_the_truth_of_its_transactions() {
    try_both(|| command(&libraries().join("redis-rs/debug/redis-rs-client")), &[]);
}
