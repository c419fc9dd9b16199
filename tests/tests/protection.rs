//! Stray accesses to persistent memory, each way of them twice: under protection, where it faults, is reported with
//! place and culprit, and leaves both images byte for byte as they were; and without, where it does what it says.
//!
//! The second half is the control group. It shows that the stray accesses are real, so that the first half shows the
//! protection and not a harmless program.

use std::ops::Range;

use holdfast_tests::machine::{CPUS, Outcome, machine, run};
use holdfast_tests::pattern::{Change, Pattern};
use libos_contract::exit;
use xtask::guest;
use xtask::qemu::{FaultPolicy, MachineOptions, Protection, ProtectionChoice};
use xtask::size::{GIB, MIB};

/// What protects, in turn.
const BACKENDS: [Protection; 2] = [Protection::Pks, Protection::Pku];
/// What the program `stray` stores.
const MARK: [u8; 8] = *b"RAYSTRAW";
/// What it stores over, which only a compare-and-exchange would have to know.
const BEFORE: &str = "0,0";
/// Where, unless the way of going astray decides that.
const OFFSET: u64 = 0x12_3440;
/// How large the images of `pmem0` and `pmem1` are.
const LENGTH: u64 = 16 * MIB;

/// What the fault report shows of the rights of someone to whom nothing was granted.
const NOTHING: &str = "0x55555554 (key 0 always open, the others closed)";
/// And of someone who may only read `pmem0`.
const READ_FIRST: &str = "0x55555558 (key 0 always open, key 1 pmem0 read, the others closed)";
/// And of someone who may write to `pmem0`.
const WRITE_FIRST: &str = "0x55555550 (key 0 always open, key 1 pmem0 write, the others closed)";

const MAIN: &str = "\"main\" on cpu 0";
const OTHER: &str = "\"<unnamed>\" on cpu 0";
const HANDLER: &str = "\"main\" on cpu 0, in a handler that interrupted it";

/// A way of going astray, as the fault report has to tell it.
struct Way {
    /// What the program is to do: a context, a shape, and what it stores over; or a kind of its own.
    words: &'static [&'static str],
    access: &'static str,
    place: Place,
    thread: &'static str,
    rights: &'static str,
    /// The functions of the program that the backtrace has to name, from the innermost one on.
    culprits: &'static [&'static str],
}

/// Where an access goes.
enum Place {
    /// To [`OFFSET`] of `pmem0`.
    Fixed,
    /// To wherever the program says: a wild pointer.
    Told,
    /// Past the end of `pmem0`, into `pmem1`, after this many bytes that it was allowed to store.
    PastEnd(u64),
}

/// A store of the program's own code, which asked for nothing.
const PROGRAM: Way = Way {
    words: &["no-grant", "store64", BEFORE],
    access: "write",
    place: Place::Fixed,
    thread: MAIN,
    rights: NOTHING,
    culprits: &["store64", "main"],
};

#[test]
fn a_store_without_a_grant_faults() {
    faults(&PROGRAM);
}

#[test]
fn control_a_store_without_a_grant_corrupts_without_protection() {
    corrupts(&PROGRAM);
}

#[test]
fn a_store_to_a_page_of_a_gibibyte_faults() {
    // The NVDIMM is large enough for the largest pages, whose leaves carry the key in another level of the tables.
    let image = Pattern::new(GIB, 4 * MIB, 0);
    let mut options = machine("stray", PROGRAM.words);
    options.pmem.push(image.open());
    expect_fault(&run(options), &PROGRAM, 0, OFFSET);
    assert_eq!(image.changes(), []);
}

/// A load: data are not only kept from changing, they are kept to those who may see them.
const READ: Way = Way { words: &["no-grant", "load", BEFORE], access: "read", culprits: &["load", "main"], ..PROGRAM };

#[test]
fn a_load_without_a_grant_faults() {
    faults(&READ);
}

#[test]
fn control_a_load_without_a_grant_reads_without_protection() {
    let (outcome, images) = stray(&READ, Protection::None);
    outcome.expect_exit(0).expect_line("stray: survived");
    let there = images[0].bytes(OFFSET..OFFSET + 8);
    let there = u64::from_le_bytes(there.try_into().unwrap());
    outcome.expect_line(&format!("stray: read {there:#x}"));
    assert_eq!((images[0].changes(), images[1].changes()), (vec![], vec![]));
}

/// A store through a pointer that was good as long as its grant lasted.
const AFTER_GRANT: Way =
    Way { words: &["after-revoke", "store64", BEFORE], culprits: &["store64", "after_revoke", "main"], ..PROGRAM };

#[test]
fn a_store_after_the_grant_has_ended_faults() {
    faults(&AFTER_GRANT);
}

#[test]
fn control_a_store_after_the_grant_has_ended_corrupts_without_protection() {
    corrupts(&AFTER_GRANT);
}

/// A store inside a read grant.
const READ_GRANT: Way =
    Way { words: &["read-grant", "store64", BEFORE], rights: READ_FIRST, culprits: &["store64", "main"], ..PROGRAM };

#[test]
fn a_store_inside_a_read_grant_faults() {
    faults(&READ_GRANT);
}

#[test]
fn control_a_store_inside_a_read_grant_corrupts_without_protection() {
    corrupts(&READ_GRANT);
}

/// A store by one thread while another one has a write grant.
const OTHER_THREAD: Way =
    Way { words: &["other-thread", "store64", BEFORE], culprits: &["store64", "other_thread", "main"], ..PROGRAM };

#[test]
fn a_store_by_another_thread_than_the_granted_one_faults() {
    faults(&OTHER_THREAD);
}

#[test]
fn control_a_store_by_another_thread_corrupts_without_protection() {
    corrupts(&OTHER_THREAD);
}

/// A store by a thread that was started inside a write grant.
const NEW_THREAD: Way =
    Way { words: &["new-thread", "store64", BEFORE], thread: OTHER, culprits: &["store64", "started"], ..PROGRAM };

#[test]
fn a_store_by_a_thread_started_inside_a_grant_faults() {
    faults(&NEW_THREAD);
}

#[test]
fn control_a_store_by_a_thread_started_inside_a_grant_corrupts_without_protection() {
    corrupts(&NEW_THREAD);
}

/// A store by an interrupt handler while the interrupted thread has a write grant.
const INTERRUPT: Way = Way {
    words: &["timer", "store64", BEFORE],
    thread: HANDLER,
    culprits: &["store64", "on_timer", "timer", "main"],
    ..PROGRAM
};

#[test]
fn a_store_by_an_interrupt_handler_of_a_granted_thread_faults() {
    faults(&INTERRUPT);
}

#[test]
fn control_a_store_by_an_interrupt_handler_corrupts_without_protection() {
    corrupts(&INTERRUPT);
}

/// A copy with a write grant for one device, which runs past its end into the next device.
const OVERRUN: Way = Way {
    words: &["overrun"],
    place: Place::PastEnd(4096),
    rights: WRITE_FIRST,
    culprits: &["overrun", "main"],
    ..PROGRAM
};

#[test]
fn a_copy_that_runs_into_the_next_device_faults() {
    faults(&OVERRUN);
}

#[test]
fn control_a_copy_that_runs_into_the_next_device_corrupts_without_protection() {
    corrupts(&OVERRUN);
}

/// A store through a heap pointer of which two bits have flipped.
const WILD_POINTER: Way =
    Way { words: &["wild-pointer"], place: Place::Told, culprits: &["store64", "wild_pointer", "main"], ..PROGRAM };

#[test]
fn a_store_through_a_wild_pointer_faults() {
    faults(&WILD_POINTER);
}

#[test]
fn control_a_store_through_a_wild_pointer_corrupts_without_protection() {
    corrupts(&WILD_POINTER);
}

#[test]
fn a_relaxed_policy_reports_each_way_lets_it_through_and_closes_again() {
    let ways = [&PROGRAM, &AFTER_GRANT, &READ_GRANT, &OTHER_THREAD, &NEW_THREAD, &INTERRUPT, &OVERRUN, &WILD_POINTER];
    for protection in BACKENDS {
        for way in ways {
            let (outcome, images) = relaxed(way.words, protection);
            expect_corruption(&outcome, &images, way);
            let (device, range) = target(way, &outcome);
            let place = format!("stray {} of pmem{device} at offset {:#x} ", way.access, range.start);
            outcome
                .report()
                .expect_headline(&format!("holdfast: FAULT {place}"))
                .expect_in_headline("policy relaxed")
                .expect_rights(way.rights);
            assert_eq!(outcome.count(&format!("holdfast: FAULT {place}")), 1, "{outcome}");
            outcome.expect_text(&format!("stray accesses, rights {NOTHING}"));
        }
    }
}

#[test]
fn a_relaxed_policy_reports_a_place_in_the_code_once_and_counts_every_access() {
    for protection in BACKENDS {
        let (outcome, _) = relaxed(&["again"], protection);
        outcome.expect_exit(0).expect_line(&format!("stray: 3 stray accesses, rights {NOTHING}"));
        assert_eq!(outcome.count("holdfast: FAULT "), 1, "{outcome}");
    }
}

/// Runs `stray` on two NVDIMMs with the relaxed fault policy.
fn relaxed(words: &[&str], protection: Protection) -> (Outcome, [Pattern; 2]) {
    let images = images();
    let mut options = machine("stray", words);
    options.pmem.extend(images.iter().map(Pattern::open));
    options.protection = protection.into();
    options.fault_policy = FaultPolicy::Relaxed;
    (run(options), images)
}

#[test]
fn grants_open_what_they_should_to_whom_they_should_as_long_as_they_should() {
    for protection in BACKENDS {
        for processors in CPUS {
            grants(protection, processors);
        }
    }
}

/// Runs the program `grants`, and fails unless all its checks are ok.
fn grants(protection: Protection, processors: u32) {
    let images = images();
    let mut options = machine("grants", &[]);
    options.protection = protection.into();
    options.smp = processors;
    options.pmem.extend(images.iter().map(Pattern::open));
    let outcome = run(options);
    outcome.expect_exit(0).expect_line("grants: all ok");
    for check in [
        "boot-is-closed",
        "audit",
        "each-device-has-its-key",
        "grants-open-one-device",
        "grants-nest",
        "an-early-return-closes",
        "copies-and-bounds",
        "a-grant-survives-sleep",
        "a-grant-survives-preemption",
        "a-new-thread-starts-closed",
        "an-interrupt-runs-closed",
        "an-interrupt-may-grant-for-itself",
    ] {
        outcome.expect_line(&format!("ok {check}"));
    }
    assert_eq!(images[1].changes(), [], "no check stores to the second device");
}

#[test]
fn without_a_choice_the_best_protection_that_the_cpu_has_is_used() {
    for (features, backend) in [(vec![], "pks"), (vec!["-pks"], "pku"), (vec!["-pku"], "pks")] {
        let (outcome, images) = on_cpu(&features, ProtectionChoice::Auto);
        expect_fault(&outcome, &PROGRAM, 0, OFFSET);
        assert!(outcome.after("holdfast: pmem0 ").contains(&format!(" protection {backend} ")), "{outcome}");
        assert_eq!((images[0].changes(), images[1].changes()), (vec![], vec![]));
    }
}

#[test]
fn a_cpu_without_the_protection_keys_that_are_asked_for_is_refused() {
    for (features, asked, other) in [
        (vec!["-pks", "-pku"], ProtectionChoice::Auto, "-cpu max"),
        (vec!["-pks"], Protection::Pks.into(), "protection=pku"),
        (vec!["-pku"], Protection::Pku.into(), "protection=pks"),
    ] {
        let (outcome, images) = on_cpu(&features, asked);
        outcome.expect_exit(exit::BOOT_REFUSED);
        let reason = outcome.after("holdfast: cannot boot: ");
        for part in ["no protection keys", other, "protection=none"] {
            assert!(reason.contains(part), "{reason}");
        }
        assert_eq!(outcome.count("stray: "), 0, "the program has run:\n{outcome}");
        assert_eq!((images[0].changes(), images[1].changes()), (vec![], vec![]));
    }
}

/// Without CR0.WP a key that denies stores denies none. Each CPU's first code sets the bit; an image in which one
/// forgets it is what a broken loader or trampoline would amount to.
#[test]
fn a_cpu_whose_write_protect_bit_is_clear_is_refused() {
    const SETS_BIT: [u8; 5] = [0x0d, 0x23, 0x00, 0x01, 0x80];
    const LEAVES_IT: [u8; 5] = [0x0d, 0x23, 0x00, 0x00, 0x80];
    let (images, directory) = (images(), tempfile::tempdir().unwrap());
    let code = std::fs::read(guest::image("stray").unwrap()).unwrap();
    // `or eax, 0x80010023`: in the boot CPU's first code and in that of the others.
    let places: Vec<_> = (0..code.len()).filter(|&at| code[at..].starts_with(&SETS_BIT)).collect();
    assert_eq!(places.len(), 2);
    for place in places {
        let mut code = code.clone();
        code[place..place + LEAVES_IT.len()].copy_from_slice(&LEAVES_IT);
        let image = directory.path().join("stray");
        std::fs::write(&image, code).unwrap();
        let outcome = run(MachineOptions {
            image,
            pmem: images.iter().map(Pattern::open).collect(),
            smp: 2,
            ..machine("stray", PROGRAM.words)
        });
        outcome
            .expect_exit(exit::BOOT_REFUSED)
            .expect_text("CR0.WP is clear, so protection keys would not stop writes");
        assert_eq!((images[0].changes(), images[1].changes()), (vec![], vec![]), "{outcome}");
    }
}

/// Runs `stray` with a store on a CPU with these changes to its features.
fn on_cpu(features: &[&str], protection: ProtectionChoice) -> (Outcome, [Pattern; 2]) {
    let images = images();
    let mut options = machine("stray", PROGRAM.words);
    options.pmem.extend(images.iter().map(Pattern::open));
    options.cpu_features = features.iter().map(|&feature| feature.to_owned()).collect();
    options.protection = protection;
    (run(options), images)
}

#[test]
fn a_machine_without_protection_says_so_loudly() {
    let (outcome, _) = stray(&READ, Protection::None);
    outcome
        .expect_exit(0)
        .expect_line("holdfast: WARNING: protection none: any stray store can corrupt persistent memory");
    assert!(outcome.after("holdfast: pmem0 ").contains("no key protection none"), "{outcome}");
}

#[test]
fn the_boot_names_each_device_its_size_and_its_key() {
    let (outcome, _) = stray(&PROGRAM, Protection::Pks);
    for (device, key) in [("pmem0", 1), ("pmem1", 2)] {
        let line = outcome.after(&format!("holdfast: {device} "));
        assert!(
            line.starts_with("16.0 MiB at 0x") && line.contains(&format!(" key {key} protection pks")),
            "{outcome}"
        );
    }
}

fn images() -> [Pattern; 2] {
    [0, 1].map(|seed| Pattern::new(LENGTH, LENGTH, seed))
}

/// Runs `stray` on two NVDIMMs until its end, and returns what it printed and left behind.
fn stray(way: &Way, protection: Protection) -> (Outcome, [Pattern; 2]) {
    let images = images();
    let mut options = machine("stray", way.words);
    options.pmem.extend(images.iter().map(Pattern::open));
    options.protection = protection.into();
    (run(options), images)
}

/// Where the stray store goes on this run: which device, which of its bytes.
fn target(way: &Way, outcome: &Outcome) -> (usize, Range<u64>) {
    let (device, offset, length) = match way.place {
        Place::Fixed => (0, OFFSET, 8),
        Place::Told => (0, told_offset(outcome), 8),
        Place::PastEnd(length) => (1, 0, length),
    };
    (device, offset..offset + length)
}

/// The offset in `pmem0` of the wild pointer that the program has made: `stray: 0x… became 0x…`.
fn told_offset(outcome: &Outcome) -> u64 {
    let hexadecimal = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap();
    let (_, pointer) = outcome.after("stray: 0x").split_once(" became ").unwrap();
    let (_, line) = outcome.after("holdfast: pmem0 ").split_once(" at ").unwrap();
    hexadecimal(pointer) - hexadecimal(line.split(' ').next().unwrap())
}

/// What the program may store itself before it goes astray.
fn allowed(way: &Way) -> Vec<Change> {
    match way.place {
        Place::Fixed | Place::Told => vec![],
        Place::PastEnd(length) => vec![marks(LENGTH - length..LENGTH)],
    }
}

fn marks(range: Range<u64>) -> Change {
    Change { offset: range.start, bytes: MARK.repeat((range.end - range.start) as usize / 8) }
}

/// Fails unless the access faults on both backends, with the right report, and changes nothing.
fn faults(way: &Way) {
    for protection in BACKENDS {
        let (outcome, images) = stray(way, protection);
        let (device, range) = target(way, &outcome);
        expect_fault(&outcome, way, device, range.start);
        assert_eq!(images[0].changes(), allowed(way), "{outcome}");
        assert_eq!(images[1].changes(), [], "{outcome}");
    }
}

fn expect_fault(outcome: &Outcome, way: &Way, device: usize, offset: u64) {
    outcome.expect_exit(exit::PROTECTION_FAULT).expect_line(&format!("stray: {}", way.words[0]));
    assert_eq!(outcome.count("stray: survived"), 0, "{outcome}");
    outcome
        .report()
        .expect_headline(&format!("holdfast: FAULT stray {} of pmem{device} at offset {offset:#x} ", way.access))
        .expect_in_headline(&format!(", key {})", device + 1))
        .expect_thread(way.thread)
        .expect_rights(way.rights)
        .expect_backtrace("tests/", way.culprits);
}

/// Fails unless the program survives and has changed exactly the bytes that it strayed to.
fn corrupts(way: &Way) {
    let (outcome, images) = stray(way, Protection::None);
    expect_corruption(&outcome, &images, way);
}

fn expect_corruption(outcome: &Outcome, images: &[Pattern; 2], way: &Way) {
    outcome.expect_exit(0).expect_line("stray: survived");
    let (device, range) = target(way, outcome);
    let mut expected = [allowed(way), vec![]];
    expected[device].push(marks(range));
    assert_eq!([images[0].changes(), images[1].changes()], expected, "{outcome}");
}
