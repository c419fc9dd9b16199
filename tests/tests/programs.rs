//! How programs end: each way with its exit status, and those that are nobody's wish with a report.

use std::path::PathBuf;
use std::time::Duration;

use holdfast_tests::machine::{Outcome, PATIENCE, machine, outcome, run};
use holdfast_tests::pattern::Pattern;
use libos_contract::exit;
use xtask::qemu::{Exit, Machine, Protection};
use xtask::size::MIB;

const SOURCE: &str = "tests/programs/src/bin/crash.rs";
const MAIN: &str = "\"main\" on cpu 0";
const OTHER: &str = "\"<unnamed>\" on cpu 0";

fn crash(way: &str) -> Outcome {
    let outcome = run(machine("crash", &[way]));
    outcome.expect_line(&format!("crash: {way}"));
    outcome
}

#[test]
fn returning_from_main_is_success() {
    crash("return").expect_exit(0);
}

#[test]
fn an_exit_status_arrives() {
    crash("exit").expect_exit(7);
}

#[test]
fn an_exit_status_of_another_thread_arrives() {
    crash("exit-in-thread").expect_exit(9);
}

#[test]
fn a_panic_is_reported_with_its_place() {
    let outcome = crash("panic");
    outcome.expect_exit(exit::PANIC).expect_line("as told");
    assert!(outcome.after("thread 'main' ").contains(&format!(" panicked at {SOURCE}:")), "{outcome}");
    outcome
        .report()
        .expect_headline("holdfast: the program aborted")
        .expect_thread(MAIN)
        .expect_backtrace(SOURCE, &["main"]);
}

#[test]
fn a_panic_in_a_thread_is_reported_with_its_thread() {
    let outcome = crash("panic-in-thread");
    outcome.expect_exit(exit::PANIC).expect_line("as told, in a thread");
    outcome
        .report()
        .expect_headline("holdfast: the program aborted")
        .expect_thread(OTHER)
        .expect_backtrace(SOURCE, &["{closure#1}"]);
}

#[test]
fn a_non_maskable_interrupt_without_a_handler_is_counted_and_the_machine_goes_on() {
    for processors in [1, 2] {
        let mut options = machine("crash", &["nmi"]);
        options.smp = processors;
        run(options).expect_exit(0).expect_line(&format!("crash: {} NMIs, and on we go", 3 * processors));
    }
}

/// QEMU's own clock goes back by 136 years from 2100 on.
#[test]
fn a_clock_that_cannot_be_right_is_said_on_the_console() {
    for (clock, words) in [
        ("1985-06-01", Some("the clock says 1985-06-01, before this library was written")),
        // QEMU's clock goes back from there on: its registers hold no date, or say without end that they change.
        ("2100-06-01", Some("; the wall clock starts in 1970")),
        ("2030-06-01", None),
    ] {
        let mut options = machine("crash", &["return"]);
        options.clock = Some(clock.to_owned());
        let outcome = run(options);
        outcome.expect_exit(0);
        match words {
            Some(words) => _ = outcome.expect_text(words),
            None => assert_eq!(outcome.count("holdfast: RTC"), 0, "{outcome}"),
        }
    }
}

#[test]
fn an_abort_is_reported() {
    let outcome = crash("abort");
    outcome.expect_exit(exit::PANIC);
    outcome
        .report()
        .expect_headline("holdfast: the program aborted")
        .expect_thread(MAIN)
        .expect_backtrace(SOURCE, &["main"]);
}

#[test]
fn a_store_through_a_null_pointer_is_reported() {
    let outcome = crash("null");
    outcome.expect_exit(exit::FATAL_EXCEPTION);
    outcome
        .report()
        .expect_headline("holdfast: FAULT #PF page fault: write of 0x0000000000000008, nothing is mapped there")
        .expect_thread(MAIN)
        .expect_backtrace(SOURCE, &["main"]);
}

#[test]
fn a_store_to_code_is_reported() {
    let outcome = crash("code");
    outcome.expect_exit(exit::FATAL_EXCEPTION);
    outcome
        .report()
        .expect_headline("holdfast: FAULT #PF page fault: write of 0x")
        .expect_in_headline(", not permitted there")
        .expect_thread(MAIN)
        .expect_backtrace(SOURCE, &["main"]);
}

#[test]
fn a_store_to_the_interrupt_table_is_reported() {
    let outcome = crash("interrupt-table");
    outcome.expect_exit(exit::FATAL_EXCEPTION);
    outcome
        .report()
        .expect_headline("holdfast: FAULT #PF page fault: write of 0x")
        .expect_in_headline(", not permitted there")
        .expect_thread(MAIN)
        .expect_backtrace(SOURCE, &["main"]);
}

#[test]
fn executing_data_is_reported() {
    let outcome = crash("execute");
    outcome.expect_exit(exit::FATAL_EXCEPTION);
    outcome
        .report()
        .expect_headline("holdfast: FAULT #PF page fault: execution of 0x")
        .expect_in_headline(", not permitted there")
        .expect_thread(MAIN);
}

#[test]
fn a_report_shows_every_register() {
    let outcome = crash("null");
    let registers = ["rip", "rsp", "rflags", "error code", "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp"];
    let numbered = (8..16).map(|number| format!("r{number}"));
    for register in registers.map(str::to_owned).into_iter().chain(numbered) {
        outcome.expect_text(&format!(" {register:3} 0x"));
    }
}

/// Overflows a stack in this way on one and on several CPUs. The report has to name the thread, the stack's size and
/// what to do.
fn overflow(way: &str, thread: &str, size: &str, advice: &str, functions: &[&str]) {
    for processors in [1, 2] {
        let mut options = machine("crash", &[way]);
        options.smp = processors;
        let outcome = run(options);
        outcome.expect_exit(exit::FATAL_EXCEPTION);
        let report = outcome
            .report()
            .expect_headline("holdfast: FAULT stack overflow: write of 0x")
            .expect_in_headline(&format!(" below the thread's stack of {size}"))
            .expect_backtrace(SOURCE, functions);
        assert!(report.thread().contains(&format!(" \"{thread}\" on cpu ")), "{outcome}");
        assert!(outcome.after("  what to do: ").contains(advice), "{outcome}");
    }
}

#[test]
fn a_stack_overflow_is_reported_with_its_thread() {
    let recursion = ["overflow", "overflow", "overflow"];
    overflow("overflow", "main", "4.0 MiB", "run what needs more in a thread", &recursion);
    overflow("overflow-in-thread", "<unnamed>", "1.0 MiB", "env.RUST_MIN_STACK=BYTES", &recursion);
    overflow(
        "overflow-in-named-thread",
        r#"worker \"7\""#,
        "200.0 KiB",
        "std::thread::Builder::stack_size",
        &recursion,
    );
    overflow("overflow-in-library", "recursive", "64.0 KiB", "the library's own", &recursion);
}

#[test]
fn a_stack_overflow_in_the_allocator_of_a_thread_that_std_does_not_know_is_reported() {
    // The name is looked for while the thread holds the allocator's lock.
    overflow("overflow-in-allocator", "<unnamed>", "64.0 KiB", "std::thread::Builder::stack_size", &[]);
    let outcome = crash("overflow-in-allocator");
    outcome.expect_text("<talc::base::Talc>::allocate");
}

#[test]
fn one_function_that_needs_more_than_the_stack_is_reported_too() {
    overflow("huge-frame", "main", "4.0 MiB", "keep less on it", &[]);
    overflow("huge-frame-in-named-thread", r#"worker \"7\""#, "200.0 KiB", "keep less on it", &[]);
    // The code that makes room for the frame has no line in the source, but a function.
    let outcome = crash("huge-frame");
    assert!(outcome.after("    #0 0x").ends_with(" crash::guest::huge_frame"), "{outcome}");
}

#[test]
fn more_stack_is_had_as_the_report_says() {
    let mut options = machine("crash", &["recurse-in-thread"]);
    run(options).expect_exit(exit::FATAL_EXCEPTION).expect_text("env.RUST_MIN_STACK=BYTES");
    options = machine("crash", &["recurse-in-thread"]);
    options.environment.push(("RUST_MIN_STACK".into(), (8 << 20).to_string()));
    run(options).expect_exit(0).expect_line("recursed");
}

#[test]
fn panics_of_several_threads_are_reported_one_by_one_with_their_names() {
    for processors in [1, 2] {
        let mut options = machine("crash", &["panics-at-once"]);
        options.smp = processors;
        let outcome = run(options);
        outcome.expect_exit(exit::PANIC);
        // Who aborts first stops the others; what they have said until then is whole.
        let headlines: Vec<&str> = outcome.lines().filter(|line| line.contains(" panicked at ")).collect();
        assert!(!headlines.is_empty(), "{outcome}");
        for headline in headlines {
            assert!(headline.starts_with("thread 'worker-") && headline.ends_with(':'), "{outcome}");
        }
        let report = outcome.report().expect_headline("holdfast: the program aborted");
        assert!(report.thread().contains(" \"worker-"), "{outcome}");
    }
}

#[test]
fn lines_of_several_threads_do_not_mix() {
    for processors in [1, 2] {
        let mut options = machine("crash", &["chatter"]);
        options.smp = processors;
        let outcome = run(options);
        outcome.expect_exit(0).expect_line("the end comes without a line feed");
        let end = outcome.lines().position(|line| line == "the end comes without a line feed").unwrap();
        let chatter = outcome.lines().take(end).skip_while(|line| *line != "crash: chatter").skip(1);
        let (mut words, mut whole) = (0, 0);
        for line in chatter {
            let mut writers: Vec<char> = line.chars().filter(char::is_ascii_alphabetic).collect();
            words += writers.len();
            whole += u32::from(writers.len() == 3);
            writers.dedup();
            assert!(writers.len() < 2, "two writers in the line `{line}`:\n{outcome}");
        }
        assert_eq!(words, 4 * 300 * 3, "{outcome}");
        // A line may be cut where its writer did not get the CPU for long in the middle of it.
        assert!(whole > 4 * 300 / 2, "only {whole} lines are whole:\n{outcome}");
    }
}

#[test]
fn a_panic_in_a_named_thread_is_reported_with_its_name_and_place() {
    let outcome = crash("panic-in-named-thread");
    outcome.expect_exit(exit::PANIC).expect_line("as told, by name").expect_text("thread 'worker \"7\"' ");
    outcome
        .report()
        .expect_headline("holdfast: the program aborted")
        .expect_thread(r#""worker \"7\"" on cpu 0"#)
        .expect_backtrace(SOURCE, &["named_panic"]);
}

/// Boots a program that never ends by itself, and waits until it says so.
fn endless(way: &str) -> (Machine, PathBuf) {
    let options = machine("crash", &[way]);
    let image = options.image.clone();
    let machine = Machine::start(options, None).unwrap();
    let begun =
        machine.console().wait_for_line(PATIENCE, |line| (line.strip_prefix("crash: ") == Some(way)).then_some(()));
    assert_eq!(begun, Some(()), "{:?}", machine.console().lines());
    (machine, image)
}

#[test]
fn grants_end_before_a_panics_hook_runs() {
    for way in ["usual-hook-in-grant", "own-hook-in-grant"] {
        for protection in [Protection::Pks, Protection::Pku] {
            let pattern = Pattern::new(16 * MIB, 16 * MIB, 0);
            let mut options = machine("crash", &[way]);
            options.pmem.push(pattern.open());
            options.protection = protection.into();
            let outcome = run(options);
            outcome.expect_exit(exit::PROTECTION_FAULT).expect_text("FAULT stray write of pmem0 at offset 0x1230");
            assert_eq!((outcome.count("it got through"), pattern.changes()), (0, vec![]), "{outcome}");
        }
    }
}

#[test]
fn a_program_all_of_whose_threads_wait_for_ever_is_told_once() {
    for processors in [1, 2] {
        let mut options = machine("crash", &["stuck"]);
        options.smp = processors;
        let image = options.image.clone();
        let machine = Machine::start(options, None).unwrap();
        let told = |line: &str| line.ends_with("for another thread's end, or what it holds").then_some(());
        assert_eq!(machine.console().wait_for_line(PATIENCE, told), Some(()), "{:?}", machine.console().lines());
        assert_eq!(machine.wait(Duration::from_millis(500)), None);
        machine.press_power_button().unwrap();
        let outcome = outcome(&machine, &image);
        outcome.expect_exit(0).expect_text("a lock, a condition, a channel or park");
        outcome.expect_text("for a descriptor, and there is no network card");
        assert_eq!(outcome.count("holdfast: every thread of the program waits"), 1, "{outcome}");
    }
}

#[test]
fn a_program_that_waits_for_the_power_button_is_not_told_that_it_is_stuck() {
    let options = machine("crash", &["await-button"]);
    let image = options.image.clone();
    let machine = Machine::start(options, None).unwrap();
    let waits = |line: &str| line.ends_with("waiting for the button").then_some(());
    assert_eq!(machine.console().wait_for_line(PATIENCE, waits), Some(()), "{:?}", machine.console().lines());
    assert_eq!(machine.wait(Duration::from_millis(500)), None);
    machine.press_power_button().unwrap();
    let outcome = outcome(&machine, &image);
    outcome.expect_exit(0).expect_line("pressed");
    assert_eq!(outcome.count("holdfast: every thread of the program waits"), 0, "{outcome}");
}

/// From outside, as a management console sends it.
#[test]
fn an_injected_nmi_ends_nothing() {
    let (machine, image) = endless("spin");
    machine.qmp_command("inject-nmi", serde_json::json!({})).unwrap();
    assert_eq!(machine.wait(Duration::from_millis(500)), None, "the machine ended");
    machine.press_power_button().unwrap();
    outcome(&machine, &image).expect_exit(0);
}

#[test]
fn the_power_button_ends_a_program_that_does_not_listen() {
    for way in ["hang", "spin"] {
        let (machine, image) = endless(way);
        assert_eq!(machine.wait(Duration::from_millis(500)), None, "the program ended by itself");
        machine.press_power_button().unwrap();
        outcome(&machine, &image).expect_exit(0);
    }
}

#[test]
fn arguments_and_environment_arrive_as_they_were_given() {
    let mut options = machine("crash", &["say", "two words", "100%", "größe"]);
    options.environment.push(("HOLDFAST_TEST".into(), "a b=c".into()));
    let outcome = run(options);
    outcome.expect_exit(0);
    outcome.expect_line(r#"arguments: ["crash", "say", "two words", "100%", "größe"]"#);
    outcome.expect_line(r#"environment: HOLDFAST_TEST="a b=c""#);
}

#[test]
fn a_command_line_that_is_not_understood_stops_the_boot_and_is_named() {
    for word in ["protection=pkz", "quiet", "ip=10.0.2.15/33,10.0.2.2", "fault-policy=lax", "name=%zz"] {
        let mut options = machine("crash", &["return"]);
        options.kernel_options.push(word.to_owned());
        let outcome = run(options);
        outcome.expect_exit(exit::BOOT_REFUSED);
        let reason = outcome.after("holdfast: cannot boot: command line: ");
        assert!(reason.contains(&format!("'{}'", word.trim_start_matches("name="))), "{outcome}");
        assert_eq!(outcome.count("crash: "), 0, "the program has run:\n{outcome}");
    }
}

#[test]
fn a_killed_machine_is_told_from_one_that_ended() {
    let (machine, _) = endless("hang");
    assert_eq!(machine.kill(), Exit::Killed(9));
}
