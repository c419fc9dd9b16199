//! Looking into a machine that runs: the tests' own client of QEMU's debugging stub, and GDB with the script that knows
//! threads.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use holdfast_tests::elf::Elf;
use holdfast_tests::gdb::{Gdb, Register, StepMode, StopPoint};
use holdfast_tests::machine::{PATIENCE, machine};
use holdfast_tests::resp::Reply;
use holdfast_tests::store::{Store, StoreImage, store_machine};
use xtask::guest::checked_image;
use xtask::qemu::{Machine, MachineOptions, Network};
use xtask::run::GDB_SCRIPT;
use xtask::size::MIB;
use xtask::workspace;

#[test]
fn a_running_store_is_stopped_looked_into_changed_and_goes_on() {
    let (image, directory) = (StoreImage::new(64 * MIB), tempfile::tempdir().unwrap());
    let socket = directory.path().join("gdb");
    let options = MachineOptions { gdb_socket: Some(socket.clone()), smp: 2, ..store_machine(image.open()) };
    let elf = Elf::load(&options.image);
    let store = Store::start(options);
    let mut client = store.client();
    assert_eq!(client.set("before", b"1"), Reply::ok());

    let mut gdb = Gdb::connect(&socket, PATIENCE).unwrap();
    assert_eq!(gdb.cpus().unwrap(), [1, 2]);
    let text = elf.section(".text");
    for cpu in [1, 2] {
        gdb.select(cpu).unwrap();
        let registers = gdb.registers().unwrap();
        assert!(text.range.contains(&registers.rip()), "{registers:?}");
        assert!(registers.get(Register::CR4) >> 24 & 1 == 1, "CR4.PKS: {registers:?}");
    }
    // Memory is the image's, at virtual and at physical addresses, and can be written even where the guest cannot.
    let copy = elf.address("dax_copy");
    let offset = (copy - text.range.start) as usize;
    let code = &text.bytes[offset..offset + 3000];
    assert!(gdb.read(copy, code.len()).unwrap() == code);
    gdb.write(copy, &[0xcc]).unwrap();
    gdb.use_physical_addresses(true).unwrap();
    assert_eq!(gdb.read(copy, 1).unwrap(), [0xcc]);
    gdb.write(copy, &code[..1]).unwrap();
    gdb.use_physical_addresses(false).unwrap();
    assert!(gdb.read(8, 1).is_err(), "page 0 is not mapped");

    // A write copies its record into pmem: the first instruction of the copy is `mov rax, rdi`.
    gdb.insert(StopPoint::Execution, copy).unwrap();
    gdb.resume().unwrap();
    let address = store.address();
    let writer = thread::spawn(move || {
        let mut client = holdfast_tests::resp::Client::connect(address).unwrap();
        client.set("during", b"2")
    });
    let stop = gdb.wait(PATIENCE).unwrap().unwrap();
    gdb.select(stop.cpu).unwrap();
    assert_eq!(gdb.registers().unwrap().rip(), copy);
    gdb.remove(StopPoint::Execution, copy).unwrap();
    gdb.set_step_mode(StepMode::ALONE).unwrap();
    gdb.set_register(Register::RAX, 0x1234).unwrap();
    assert_eq!(gdb.registers().unwrap().get(Register::RAX), 0x1234);
    gdb.step(stop.cpu).unwrap();
    let registers = gdb.registers().unwrap();
    assert_eq!(registers.rip(), copy + 3);
    assert_eq!(registers.get(Register::RAX), registers.get(Register::RDI));

    gdb.resume().unwrap();
    assert_eq!(writer.join().unwrap(), Reply::ok());
    assert!(gdb.wait(Duration::from_millis(10)).unwrap().is_none());
    gdb.halt().unwrap();
    gdb.detach().unwrap();
    assert_eq!(client.get("during").as_deref(), Some(&b"2"[..]));
}

/// The port that the echo server listens on in the guest.
const ECHO_PORT: u16 = 7777;

/// Sends a word to the echo server and waits until it has come back.
fn echo(client: &mut TcpStream) {
    let mut back = [0; 4];
    client.write_all(b"word").unwrap();
    client.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"word");
}

/// Runs GDB on a machine with the script of `xtask/gdb` and returns what it prints.
fn gdb(image: &Path, socket: &Path, commands: &[&str]) -> String {
    let mut gdb = Command::new("gdb");
    gdb.args(["-nx", "-batch", "-ex", "set pagination off", "-ex", "set width 0"]);
    gdb.arg("-x").arg(workspace::root().join(GDB_SCRIPT)).arg(image);
    gdb.args(["-ex", &format!("target remote {}", socket.display())]);
    for command in commands {
        gdb.args(["-ex", command]);
    }
    let output = gdb.output().expect("gdb runs; `cargo xtask setup` installs it");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The block of lines that begins with a thread's name, in what `holdfast backtrace` prints.
fn backtrace_of<'p>(printed: &'p str, thread: &str) -> &'p str {
    let start = printed.find(thread).unwrap_or_else(|| panic!("there is no {thread}:\n{printed}"));
    let rest = &printed[start..];
    &rest[..rest[1..].find("\nthread ").map_or(rest.len(), |end| end + 1)]
}

#[test]
fn gdb_lists_the_threads_of_the_guest_and_looks_at_the_stacks_of_those_that_do_not_run() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("gdb");
    let image = checked_image("hello").unwrap();
    let machine = Machine::start(
        MachineOptions {
            image: image.clone(),
            gdb_socket: Some(socket.clone()),
            network: Network::User,
            smp: 2,
            ..machine("hello", &[])
        },
        None,
    )
    .unwrap();
    let is_ready = |line: &str| line.starts_with("hello: ready on port ").then_some(());
    assert!(machine.console().wait_for_line(PATIENCE, is_ready).is_some(), "{:?}", machine.console().lines());
    let forwarder = machine.forward_any(ECHO_PORT).unwrap();
    let mut client = TcpStream::connect(forwarder.address()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    echo(&mut client);

    let printed = gdb(&image, &socket, &["holdfast threads", "holdfast backtrace"]);
    let listed = |name: &str, at: &str| printed.lines().any(|line| line.contains(name) && line.contains(at));
    assert!(listed(" main ", "in hello::serve"), "{printed}");
    assert!(listed(" net ", "in libos::net::attention::sleep"), "{printed}");
    let of_main = backtrace_of(&printed, "`main`, waiting");
    let order =
        ["libos::task::scheduler::block", "sys_accept", "hello::serve at apps/hello/src/main.rs:", "hello::main"];
    let places = order.map(|function| of_main.find(function).unwrap_or_else(|| panic!("no {function}:\n{of_main}")));
    assert!(places.is_sorted(), "{of_main}");
    // The client's thread waits for more. It has its name from std, and libos does not know it.
    assert!(listed(" client ", "in hello::echo"), "{printed}");
    let of_client = backtrace_of(&printed, "`client`, waiting");
    assert!(of_client.contains("hello::echo at apps/hello/src/main.rs:"), "{printed}");

    // GDB's own commands work on a thread that was chosen, and on the CPU's stack again afterwards.
    let number = printed.lines().find(|line| line.contains(" main ")).and_then(|line| line.split_whitespace().next());
    let choose = format!("holdfast thread {}", number.unwrap());
    let printed = gdb(&image, &socket, &[&choose, "backtrace", "holdfast thread", "backtrace"]);
    assert!(printed.contains("its frames begin at"), "{printed}");
    assert_eq!(printed.matches("hello::serve (").count(), 1, "{printed}");
    let printed = gdb(&image, &socket, &["holdfast thread 4000000", "holdfast thread x"]);
    assert!(printed.contains("there is no thread 4000000: `holdfast threads` lists them"), "{printed}");

    // The machine went on each time, and goes on.
    echo(&mut client);
}

/// Makes it look as if the network card had given back far more receive buffers than there are. Its own index would be
/// right again with the next frame: so it is the index up to which the driver has read that goes back.
const BREAK_THE_CARD: &str = r#"python
stack = gdb.parse_and_eval("libos::net::service::STACK")["data"]["value"]["Some"]["__0"]
queue = stack["nic"]["Some"]["__0"]["device"]["receiver"]["queue"]
seen = (int(queue["seen"]) - 2000 & 0xffff).to_bytes(2, "little")
gdb.selected_inferior().write_memory(int(queue["seen"].address), seen)
"#;

#[test]
fn a_network_card_that_breaks_the_rules_is_named_on_the_console() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("gdb");
    let image = checked_image("hello").unwrap();
    let options = machine("hello", &[]);
    let options = MachineOptions { gdb_socket: Some(socket.clone()), network: Network::User, ..options };
    let machine = Machine::start(MachineOptions { image: image.clone(), ..options }, None).unwrap();
    let is_ready = |line: &str| line.starts_with("hello: ready on port ").then_some(());
    assert!(machine.console().wait_for_line(PATIENCE, is_ready).is_some(), "{:?}", machine.console().lines());
    let commands = directory.path().join("commands");
    std::fs::write(&commands, BREAK_THE_CARD).unwrap();
    let printed = gdb(&image, &socket, &[&format!("source {}", commands.display())]);
    assert!(!printed.contains("Error"), "{printed}");
    // A connection makes the driver look at the queue.
    let forwarder = machine.forward_any(ECHO_PORT).unwrap();
    let _client = TcpStream::connect(forwarder.address()).unwrap();
    let line = "holdfast: the network card is broken (the device gave back 2";
    let is_said = |printed: &str| printed.starts_with(line).then(|| printed.to_owned());
    let said = machine.console().wait_for_line(PATIENCE, is_said);
    let said = said.unwrap_or_else(|| panic!("{printed}\n{:?}", machine.console().lines()));
    assert!(said.ends_with("in the receive queue); there is no network until the machine is booted again"), "{said}");
}

#[test]
fn gdb_sees_what_an_interrupt_interrupted() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("gdb");
    let image = checked_image("hello").unwrap();
    let machine = Machine::start(
        MachineOptions { image: image.clone(), gdb_socket: Some(socket.clone()), ..machine("hello", &[]) },
        None,
    )
    .unwrap();
    let is_ready = |line: &str| line.starts_with("hello: ready on port ").then_some(());
    assert!(machine.console().wait_for_line(PATIENCE, is_ready).is_some(), "{:?}", machine.console().lines());
    // Nothing happens in an idle machine by itself. The power button makes an interrupt, once GDB is there.
    let (attached, ended) = (directory.path().join("attached"), Arc::new(AtomicBool::new(false)));
    let touch = format!("shell touch {}", attached.display());
    let presser = {
        let ended = ended.clone();
        thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                if attached.exists() {
                    // It may be refused while GDB holds the machine; then it is pressed again.
                    let _ = machine.press_power_button();
                }
                thread::sleep(Duration::from_millis(50));
            }
        })
    };
    let printed =
        gdb(&image, &socket, &["tbreak libos::arch::x86_64::trap::entry::handle", &touch, "continue", "backtrace"]);
    ended.store(true, Ordering::Relaxed);
    presser.join().unwrap();
    let order = ["libos::arch::x86_64::trap::entry::handle (", "trap_common", "libos::task::scheduler::become_idle ()"];
    let places = order.map(|function| printed.rfind(function).unwrap_or_else(|| panic!("no {function}:\n{printed}")));
    assert!(places.is_sorted(), "{printed}");
}
