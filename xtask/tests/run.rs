//! `cargo xtask run` with something wrong: one clear error each, before anything is touched. None of these comes as
//! far as building or booting, so the machine they run on needs no QEMU.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use rustix::fs::{CWD, FileType, Mode, mknodat};

fn xtask() -> Command {
    Command::new(std::env::var_os("CARGO_BIN_EXE_xtask").unwrap())
}

/// Runs `run` with no programs on the `PATH`, expects it to fail, and returns what it said.
fn failure(arguments: &[&str]) -> String {
    let output = xtask().arg("run").args(arguments).env("PATH", "").env_remove("HOLDFAST_TOOLCHAIN").output().unwrap();
    assert!(!output.status.success());
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_busy_port_is_named_and_no_image_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("new.img");
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port().to_string();
    let said = failure(&["--pmem", path(&image), "--pmem-size", "64M", "--port", &port]);
    assert!(said.contains(&format!("port {port} is in use; choose another one")), "{said}");
    assert!(!image.exists());
}

#[test]
fn an_address_of_another_machine_is_named() {
    // From a block that is for documentation only (RFC 5737).
    let said = failure(&["--listen", "192.0.2.1", "--protected-mode", "no", "--port", "1234"]);
    assert!(said.contains("192.0.2.1 is no address of this machine; see --listen"), "{said}");
}

#[test]
fn a_missing_image_is_not_made_unless_its_size_is_given() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("none.img");
    let said = failure(&["--pmem", path(&image), "--port", "0"]);
    assert!(said.contains("there is no image") && said.contains("--pmem-size 1G"), "{said}");
    assert!(!image.exists());
}

#[test]
fn where_the_machine_cannot_be_started_no_new_image_is_left_behind() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("new.img");
    let trace = directory.path().join("no/such/directory/trace");
    let output = xtask()
        .args(["run", "--port", "0", "--pmem-size", "64M", "--pmem", path(&image), "--trace", path(&trace)])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("cannot write the trace"), "{said}");
    assert!(!image.exists());
}

#[test]
fn a_command_line_that_the_guest_cannot_get_is_refused_and_no_image_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("new.img");
    for length in [4096, 60_000] {
        let long = "x".repeat(length);
        let said = failure(&["--pmem", path(&image), "--pmem-size", "64M", "--port", "0", "--", &long]);
        assert!(said.contains("the guest's command line") && said.contains("takes 4095"), "{said}");
        assert!(!image.exists());
    }
}

#[test]
fn a_file_for_the_guest_that_is_a_fifo_is_refused_instead_of_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let said = failure(&["--port", "0", "--file", &format!("x={}", path(&fifo))]);
    assert!(said.contains("fifo is no regular file"), "{said}");
}

#[test]
fn an_image_in_use_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("used.img");
    let file = File::create(&image).unwrap();
    file.set_len(64 << 20).unwrap();
    file.try_lock().unwrap();
    let said = failure(&["--pmem", path(&image), "--port", "0"]);
    assert!(said.contains("is in use by another QEMU or kvstore"), "{said}");
}

#[test]
fn an_image_that_is_no_image_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("notes.txt");
    fs::write(&image, "not an image").unwrap();
    let said = failure(&["--pmem", path(&image), "--port", "0"]);
    assert!(said.contains("notes.txt") && said.contains("too small"), "{said}");
    assert_eq!(fs::read_to_string(&image).unwrap(), "not an image");
}

#[test]
fn a_bad_toolchain_variable_is_named() {
    let output = xtask().args(["run", "--port", "0"]).env("HOLDFAST_TOOLCHAIN", "nightly").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("HOLDFAST_TOOLCHAIN") && said.contains("nightly"), "{said}");
}
