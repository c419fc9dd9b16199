//! The programs under `apps/`, each as `cargo xtask run --app` has it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use holdfast_tests::elf::Elf;
use holdfast_tests::machine::{self, PATIENCE};
use holdfast_tests::xtask::{Run, xtask};
use libos_contract::exit;
use rustix::process::Signal;
use xtask::guest;
use xtask::qemu::MachineOptions;

/// Starts a program as a person does, but at a free port.
fn run(app: &str, arguments: &[&str]) -> Run {
    let mut command = xtask();
    command.args(["run", "--app", app, "--port", "0"]).args(arguments);
    Run::spawn(command)
}

#[test]
fn hello_starts_threads_tells_the_time_and_sends_back_what_it_gets() {
    let mut run = run("hello", &["--smp", "2"]);
    let (address, rest) = run.ready("nc 127.0.0.1 ");
    assert_eq!(rest, " (echo)");
    let said = run.after("hello: 2 processors, ");
    let days: u64 = said.strip_suffix(" days since 1970").unwrap().parse().unwrap();
    assert!(days > 20_000, "{said}");
    assert!(run.after("hello: four threads found ").starts_with("499999500000 in "));
    run.after("booting without persistent memory");

    let mut clients: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let sent = vec![b'0' + number as u8; 10_000 * (number + 1)];
        client.write_all(&sent).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut back = Vec::new();
        client.read_to_end(&mut back).unwrap();
        assert_eq!(back, sent);
    }
    run.signal(Signal::INT);
    let (status, printed) = run.end();
    assert_eq!(status.code(), Some(0), "{printed}");
}

#[test]
fn a_program_that_is_not_there_is_refused_with_a_list_of_those_that_are() {
    let (status, printed) = run("nonesuch", &[]).end();
    assert_eq!(status.code(), Some(1), "{printed}");
    assert!(printed.contains("there is no program `nonesuch` under apps/; there are: hello, kvstore"), "{printed}");
}

#[test]
fn a_size_for_an_image_that_the_program_does_not_ask_for_is_refused() {
    let (status, printed) = run("hello", &["--pmem-size", "64M"]).end();
    assert_eq!(status.code(), Some(1), "{printed}");
    assert!(printed.contains("hello asks for no NVDIMM") && printed.contains("--pmem"), "{printed}");
}

#[test]
fn no_program_has_what_only_tests_use() {
    let injector = |program: &str| Elf::load(&guest::image(program).unwrap()).symbols_with("14fault_injector").count();
    assert!(injector("soak") > 0, "a test's program does not have it either");
    for app in xtask::apps::all().unwrap() {
        assert_eq!(injector(&app.name), 0, "{} injects faults into its link", app.name);
    }
    let faults = "link-faults=drop:20".to_owned();
    let outcome = machine::run(MachineOptions { kernel_options: vec![faults], ..machine::machine("kvstore", &[]) });
    outcome.expect_exit(exit::BOOT_REFUSED);
    outcome.expect_text("command line: 'link-faults=drop:20' is not understood");
}
