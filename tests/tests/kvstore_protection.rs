//! What the store says of its protection, and lets clients change: `INFO` and `CONFIG`. The counts are exact, whatever
//! pieces a request arrives in and whenever interrupts come.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;

use holdfast_tests::elf::Elf;
use holdfast_tests::gdb::{Gdb, Register, StopPoint};
use holdfast_tests::machine::PATIENCE;
use holdfast_tests::resp::{Client, Reply};
use holdfast_tests::store::{Store, StoreImage, store_machine};
use libos_contract::exit;
use xtask::qemu::{FaultPolicy, MachineOptions, Protection, ProtectionChoice};
use xtask::size::MIB;

/// A store of its own for each test.
fn store(protection: impl Into<ProtectionChoice>, processors: u32) -> (Store, StoreImage) {
    let image = StoreImage::new(64 * MIB);
    let mut options = store_machine(image.open());
    options.protection = protection.into();
    options.smp = processors;
    (Store::start(options), image)
}

/// What `INFO` has counted, in one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    turns: u64,
    read_grants: u64,
    write_grants: u64,
    commits: u64,
    fences: u64,
    lines_written_back: u64,
    register_writes_for_grants: u64,
}

impl Counts {
    fn of(client: &mut Client) -> Self {
        let [turns, read_grants, write_grants, commits, fences, lines_written_back, grants, traps, switches, all] =
            client.counts([
                "pool_turns",
                "read_grants",
                "write_grants",
                "pool_commits",
                "fences",
                "lines_written_back",
                "pkrs_writes_grants",
                "pkrs_writes_traps",
                "pkrs_writes_switches",
                "pkrs_writes",
            ]);
        assert_eq!(all, grants + traps + switches, "every write has one cause");
        let register_writes_for_grants = grants;
        Self { turns, read_grants, write_grants, commits, fences, lines_written_back, register_writes_for_grants }
    }

    /// What these batches cost. The turn of the first look is left out; the second one is not in what it sees.
    fn spent(client: &mut Client, batches: &[&[String]]) -> Self {
        let before = Self::of(client);
        for batch in batches {
            client.pipeline(batch).iter().for_each(|reply| assert!(!matches!(reply, Reply::Error(_)), "{reply:?}"));
        }
        let after = Self::of(client);
        Self {
            turns: after.turns - before.turns - 1,
            read_grants: after.read_grants - before.read_grants - 1,
            write_grants: after.write_grants - before.write_grants,
            commits: after.commits - before.commits,
            fences: after.fences - before.fences,
            lines_written_back: after.lines_written_back - before.lines_written_back,
            register_writes_for_grants: after.register_writes_for_grants - before.register_writes_for_grants - 2,
        }
    }
}

fn sets(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("SET key:{number} value")).collect()
}

#[test]
fn one_set_takes_one_write_grant_one_fence_and_four_register_writes() {
    let machines = [1, 2, 4, 8].map(|processors| (Protection::Pks, processors));
    for (protection, processors) in machines.into_iter().chain([(Protection::Pku, 1)]) {
        let (store, _image) = store(protection, processors);
        let mut client = store.client();
        // The pool's first record opens its first segment.
        client.set("first", b"value");
        for _ in 0..20 {
            let spent = Counts::spent(&mut client, &[&sets(1)]);
            // The turn's read grant opens and closes, then the write grant for what it has staged does.
            let expected = Counts {
                turns: 1,
                read_grants: 1,
                write_grants: 1,
                commits: 1,
                fences: 1,
                register_writes_for_grants: 4,
                ..spent
            };
            assert_eq!(spent, expected, "{protection:?} on {processors}");
            assert!((1..=2).contains(&spent.lines_written_back), "{spent:?}");
        }
    }
}

#[test]
fn a_batch_of_sets_takes_at_most_one_write_grant_in_each_turn() {
    for protection in [Protection::Pks, Protection::Pku] {
        let (store, _image) = store(protection, 2);
        let mut client = store.client();
        client.set("first", b"value");
        let sets = sets(200);
        for batch in [16, 200] {
            let spent = Counts::spent(&mut client, &sets.chunks(batch).collect::<Vec<_>>());
            // A network may bring a batch in pieces, and each piece is a turn.
            assert!((200 / batch as u64..200).contains(&spent.turns), "{spent:?}");
            assert!((1..=spent.turns).contains(&spent.write_grants), "{spent:?}");
            assert_eq!(spent.read_grants, spent.turns, "{spent:?}");
            assert_eq!((spent.commits, spent.fences), (spent.write_grants, spent.write_grants), "{spent:?}");
            let grants = spent.read_grants + spent.write_grants;
            assert_eq!(spent.register_writes_for_grants, 2 * grants, "{spent:?}");
        }
    }
}

#[test]
fn reading_takes_no_write_grant() {
    let (store, _image) = store(Protection::Pks, 1);
    let mut client = store.client();
    client.set("key", b"value");
    let gets: Vec<String> = (0..100).map(|_| "GET key".into()).collect();
    let spent = Counts::spent(&mut client, &[&gets]);
    let reads = Counts {
        turns: spent.turns,
        read_grants: spent.turns,
        register_writes_for_grants: 2 * spent.turns,
        write_grants: 0,
        commits: 0,
        fences: 0,
        lines_written_back: 0,
    };
    assert_eq!(spent, reads);
}

#[test]
fn the_store_says_what_protects_its_data() {
    let (pks, image) = store(ProtectionChoice::Auto, 1);
    let mut client = pks.client();
    assert_eq!((client.info("protection"), client.info("fault_policy")), ("pks".into(), "strict".into()));
    assert_eq!(client.info("device"), "pmem0");
    assert_eq!(client.count("device_bytes"), 64 * MIB);
    assert_eq!(client.count("stray_accesses"), 0);
    let cpu = client.info("cpu0");
    let names: Vec<&str> = cpu.split(',').filter_map(|field| Some(field.split_once('=')?.0)).collect();
    assert_eq!(names, ["switches", "interrupts", "shootdowns_sent", "shootdowns_deferred"], "{cpu}");
    assert!(!cpu.contains("switches=0,") && !cpu.contains("interrupts=0,"), "a store that serves has done both: {cpu}");
    assert_eq!(config(&mut client, "protection"), "pks");
    client.set("key", b"value");
    drop(pks);

    let mut options = store_machine(image.open());
    options.protection = Protection::None.into();
    let none = Store::start(options);
    let mut client = none.client();
    assert_eq!((client.info("protection"), client.info("fault_policy")), ("none".into(), "none".into()));
    assert_eq!(client.get("key").unwrap(), b"value");
    assert_eq!(client.counts(["pkrs_writes", "pkrs_writes_skipped"]), [0, 0]);
    let refusal = client.command("CONFIG SET fault-policy relaxed");
    assert!(matches!(&refusal, Reply::Error(error) if error.contains("nothing notices stray accesses")), "{refusal:?}");
}

#[test]
fn the_fault_policy_is_read_and_changed_by_name() {
    let (store, _image) = store(Protection::Pks, 1);
    let mut client = store.client();
    assert_eq!(config(&mut client, "fault-policy"), "strict");
    for policy in FaultPolicy::ALL.map(FaultPolicy::word).into_iter().rev() {
        assert_eq!(client.command(&format!("CONFIG SET fault-policy {policy}")), Reply::ok());
        assert_eq!(config(&mut client, "fault-policy"), policy);
        assert_eq!(client.info("fault_policy"), policy);
    }
    for wrong in ["lax", "Strict", "silent", "off"] {
        let refusal = client.command(&format!("CONFIG SET fault-policy {wrong}"));
        let expected = "one of strict, end-thread";
        assert!(matches!(&refusal, Reply::Error(error) if error.contains(expected)), "{refusal:?}");
        assert_eq!(config(&mut client, "fault-policy"), "strict");
    }
}

/// A parameter's value by `CONFIG GET`.
fn config(client: &mut Client, parameter: &str) -> String {
    match client.command(&format!("CONFIG GET {parameter}")) {
        Reply::Array(mut pair) if pair.len() == 2 => String::from_utf8(pair.remove(1).into_bytes().unwrap()).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Where in the device the store is made to stray to: a segment that is not in use yet.
const OFFSET: u64 = 40 * MIB;
/// The machine code of `mov [rdi], rax`.
const STORE_RAX: [u8; 3] = [0x48, 0x89, 0x07];

/// A debugger that lets the store's own thread execute one store that is not in the program.
struct Injector {
    gdb: Gdb,
    /// The function that executes `CONFIG RESETSTAT`, which nothing else does.
    function: u64,
    code: [u8; 3],
    device: u64,
}

impl Injector {
    fn new(socket: &Path, program: &Path, store: &Store) -> Self {
        let elf = Elf::load(program);
        let function = elf.symbols_with("6config9resetstat").next().unwrap().range.start;
        let line = store.printed("holdfast: pmem0 ");
        let (_, device) = line.split_once(" at 0x").unwrap();
        let device = u64::from_str_radix(device.split(' ').next().unwrap(), 16).unwrap();
        let mut gdb = Gdb::connect(socket, PATIENCE).unwrap();
        let code = gdb.read(function, STORE_RAX.len()).unwrap().try_into().unwrap();
        gdb.insert(StopPoint::Execution, function).unwrap();
        Self { gdb, function, code, device }
    }

    /// Has a client's request executed, and `value` stored at `OFFSET` on the way, by an instruction put in front of
    /// the function. Whether the store came past it, and what the client got.
    fn stray(&mut self, mut client: Client, value: u64) -> (bool, Option<Reply>) {
        self.gdb.resume().unwrap();
        let asked = thread::spawn(move || {
            client.send(b"CONFIG RESETSTAT\r\n").unwrap();
            client.reply().ok()
        });
        self.gdb.wait(PATIENCE).unwrap().expect("the store reaches the function");
        let before = self.gdb.registers().unwrap();
        assert_eq!(before.rip(), self.function);
        self.gdb.remove(StopPoint::Execution, self.function).unwrap();
        self.gdb.write(self.function, &STORE_RAX).unwrap();
        self.gdb.set_register(Register::RAX, value.into()).unwrap();
        self.gdb.set_register(Register::RDI, (self.device + OFFSET).into()).unwrap();
        let behind = self.function + STORE_RAX.len() as u64;
        self.gdb.insert(StopPoint::Execution, behind).unwrap();
        self.gdb.resume().unwrap();
        let Ok(Some(_)) = self.gdb.wait(PATIENCE) else { return (false, asked.join().unwrap()) };
        // It goes on as if nothing had been.
        assert_eq!(self.gdb.registers().unwrap().rip(), behind);
        self.gdb.remove(StopPoint::Execution, behind).unwrap();
        self.gdb.write(self.function, &self.code).unwrap();
        for register in [Register::RAX, Register::RDI, Register::RIP] {
            self.gdb.set_register(register, before.get(register).into()).unwrap();
        }
        self.gdb.resume().unwrap();
        let reply = asked.join().unwrap();
        self.gdb.halt().unwrap();
        self.gdb.insert(StopPoint::Execution, self.function).unwrap();
        (true, reply)
    }

    /// Lets the store be asked meanwhile.
    fn aside<R>(&mut self, act: impl FnOnce() -> R) -> R {
        self.gdb.resume().unwrap();
        let result = act();
        self.gdb.halt().unwrap();
        result
    }
}

/// A store with an injector, and what lies in its image at `OFFSET`.
fn injected_store() -> (Store, StoreImage, Injector, impl Fn() -> u64) {
    let (image, directory) = (StoreImage::new(64 * MIB), tempfile::tempdir().unwrap());
    let socket = directory.path().join("gdb");
    let options = MachineOptions { gdb_socket: Some(socket.clone()), ..store_machine(image.open()) };
    let program = options.image.clone();
    let store = Store::start(options);
    let injector = Injector::new(&socket, &program, &store);
    let file = File::open(image.path()).unwrap();
    let stored = move || {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, OFFSET).unwrap();
        u64::from_le_bytes(bytes)
    };
    (store, image, injector, stored)
}

#[test]
fn a_fault_policy_that_a_client_changes_decides_about_the_next_stray_store() {
    let (store, _image, mut injector, stored) = injected_store();
    let mut client = store.client();
    injector.aside(|| {
        client.set("key", b"value");
        assert_eq!(client.command("CONFIG SET fault-policy relaxed"), Reply::ok());
    });
    for (count, value) in [(1, 0x1111), (2, 0x2222)] {
        assert_eq!(injector.stray(store.client(), value), (true, Some(Reply::ok())), "it is let through");
        assert_eq!(stored(), value);
        injector.aside(|| {
            assert_eq!(client.count("stray_accesses"), count);
            assert_eq!(client.get("key").unwrap(), b"value", "the store goes on");
        });
    }

    injector.aside(|| assert_eq!(client.command("CONFIG SET fault-policy strict"), Reply::ok()));
    assert_eq!(injector.stray(store.client(), 0x3333), (false, None), "it stops the machine");
    let outcome = store.wait();
    outcome.expect_exit(exit::PROTECTION_FAULT);
    assert_eq!(stored(), 0x2222, "nothing was stored:\n{outcome}");
    let place = "holdfast: FAULT stray write of pmem0 at offset 0x2800000 ";
    assert_eq!(outcome.count(place), 2, "one report while relaxed, one of the end:\n{outcome}");
    outcome
        .expect_text("policy relaxed")
        .expect_text("policy strict: machine stopped")
        .expect_text("   mov [rdi], rax   (writes 8 bytes at 0x");
}

#[test]
fn the_end_of_the_stores_own_thread_is_a_shutdown_that_keeps_what_was_acknowledged() {
    let (store, image, mut injector, stored) = injected_store();
    let mut client = store.client();
    injector.aside(|| {
        assert_eq!(client.set("key", b"value"), Reply::ok());
        assert_eq!(client.command("CONFIG SET fault-policy end-thread"), Reply::ok());
    });
    assert_eq!(injector.stray(store.client(), 0x1111), (false, None), "the store ends");
    let outcome = store.wait();
    outcome.expect_exit(exit::PROTECTION_FAULT).expect_text("policy end-thread: thread ended");
    assert_eq!(stored(), 0, "nothing was stored:\n{outcome}");
    assert_eq!(Store::boot(&image).client().get("key").unwrap(), b"value");
}
