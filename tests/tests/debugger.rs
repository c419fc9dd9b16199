//! The debugger's client against QEMU's stub and a store that runs.

use std::thread;
use std::time::Duration;

use holdfast_tests::elf::Elf;
use holdfast_tests::gdb::{Gdb, Register, StepMode, StopPoint};
use holdfast_tests::machine::PATIENCE;
use holdfast_tests::resp::Reply;
use holdfast_tests::store::{Store, StoreImage, store_machine};
use xtask::qemu::MachineOptions;
use xtask::size::MIB;

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
