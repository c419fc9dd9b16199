//! A guest program in a machine, from its start to its end, and the report that it may leave.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use libos_contract::report::{ABORTED, FAULT};
use xtask::annotate::Annotator;
use xtask::guest;
use xtask::qemu::{Exit, Machine, MachineOptions, Network};
use xtask::size::MIB;

/// How long a machine may take for what it is to do. It is far longer than any needs, so that a slow host fails no
/// test.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// A connection to this address that waits for the other side as long as [`PATIENCE`] allows, and sends at once what it
/// is given.
///
/// # Errors
/// When nobody listens there.
pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// How many CPUs the tests of what several CPUs may disturb run on, one after the other: the same tests on each.
pub const CPUS: [u32; 4] = [1, 2, 4, 8];

/// A small machine with this guest program, and without a network.
pub fn machine(program: &str, arguments: &[&str]) -> MachineOptions {
    machine_of(guest::image(program).unwrap(), program, arguments)
}

/// The same machine with this image of the program.
pub fn machine_of(image: PathBuf, program: &str, arguments: &[&str]) -> MachineOptions {
    MachineOptions {
        image,
        name: program.to_owned(),
        arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
        memory: 64 * MIB,
        network: Network::None,
        ..MachineOptions::default()
    }
}

/// The same machine with the program's checked build, in which libos checks its own rules. There is one of each of
/// `CHECKED_PROGRAMS` in xtask.
pub fn checked(options: MachineOptions, program: &str) -> MachineOptions {
    MachineOptions { image: guest::checked_image(program).unwrap(), ..options }
}

/// Starts a machine and waits for its end.
pub fn run(options: MachineOptions) -> Outcome {
    let image = options.image.clone();
    let machine = Machine::start(options, None).unwrap();
    outcome(&machine, &image)
}

/// Waits for a machine's end.
pub fn outcome(machine: &Machine, image: &Path) -> Outcome {
    let outcome = outcome_within(PATIENCE, machine, &mut Annotator::load(image).unwrap());
    assert!(outcome.exit.is_some(), "the machine does not end:\n{outcome}");
    outcome
}

/// Waits for a machine's end, but no longer than this.
pub fn outcome_within(patience: Duration, machine: &Machine, annotator: &mut Annotator) -> Outcome {
    let exit = machine.wait(patience);
    // A line with names for inlined functions becomes several.
    let printed: Vec<String> = machine.console().lines().iter().map(|line| annotator.annotate(line)).collect();
    let lines = printed.iter().flat_map(|line| line.split('\n')).map(str::to_owned).collect();
    Outcome { exit, lines }
}

/// How a machine ended, and what it printed until then, with names for the addresses.
#[derive(Debug)]
pub struct Outcome {
    exit: Option<Exit>,
    lines: Vec<String>,
}

impl Outcome {
    /// How the machine ended; `None` if it was still running when patience was at an end.
    pub fn exit(&self) -> Option<Exit> {
        self.exit
    }

    /// Whether the guest printed exactly this line.
    pub fn has_line(&self, line: &str) -> bool {
        self.lines.iter().any(|printed| printed == line)
    }

    /// What follows `prefix` on the first line that starts with it, if there is one.
    pub fn find_after(&self, prefix: &str) -> Option<&str> {
        self.lines.iter().find_map(|line| line.strip_prefix(prefix))
    }

    /// Fails unless the guest ended with this exit code.
    pub fn expect_exit(&self, code: u8) -> &Self {
        assert_eq!(self.exit, Some(Exit::Guest(code)), "the console:\n{self}");
        self
    }

    /// Fails unless the guest printed exactly this line.
    pub fn expect_line(&self, line: &str) -> &Self {
        assert!(self.has_line(line), "there is no line `{line}`:\n{self}");
        self
    }

    /// Fails unless some line has this in it.
    pub fn expect_text(&self, text: &str) -> &Self {
        assert!(self.lines.iter().any(|printed| printed.contains(text)), "no line has `{text}`:\n{self}");
        self
    }

    /// What follows `prefix` on the first line that starts with it.
    pub fn after(&self, prefix: &str) -> &str {
        self.find_after(prefix).unwrap_or_else(|| panic!("no line starts with `{prefix}`:\n{self}"))
    }

    /// What was printed, line by line.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// How many lines start with `prefix`.
    pub fn count(&self, prefix: &str) -> usize {
        self.lines.iter().filter(|line| line.starts_with(prefix)).count()
    }

    /// The report of what went wrong in the guest, which fails the test if there is none.
    pub fn report(&self) -> Report<'_> {
        self.find_report().unwrap_or_else(|| panic!("there is no report:\n{self}"))
    }

    /// The first report of what went wrong in the guest, if there is one.
    pub fn find_report(&self) -> Option<Report<'_>> {
        let is_headline = |line: &String| line.starts_with(FAULT) || line.starts_with(ABORTED);
        let start = self.lines.iter().position(is_headline)?;
        let lines = &self.lines[start..];
        let line_with = |prefix: &str| lines.iter().find_map(|line| line.strip_prefix(prefix)).unwrap_or_default();
        let backtrace = lines.iter().position(|line| line == "  backtrace:").unwrap_or(lines.len());
        Some(Report {
            outcome: self,
            headline: &lines[0],
            context: line_with("  thread "),
            rights: line_with("  rights "),
            code: line_with("  code: "),
            backtrace: &lines[backtrace..],
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "    {line}"))?;
        match self.exit {
            Some(exit) => write!(f, "    {exit}"),
            None => write!(f, "    (still running)"),
        }
    }
}

/// A report of libos's, in its parts.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    outcome: &'a Outcome,
    headline: &'a str,
    context: &'a str,
    rights: &'a str,
    code: &'a str,
    backtrace: &'a [String],
}

impl<'a> Report<'a> {
    /// The first line.
    pub fn headline(&self) -> &'a str {
        self.headline
    }

    /// The thread, its CPU, and whether a handler had interrupted it: `4 "main" on cpu 0`.
    pub fn thread(&self) -> &'a str {
        self.context
    }

    /// The rights of who did it.
    pub fn rights(&self) -> &'a str {
        self.rights
    }

    /// The machine code of who did it, and the instruction that it begins with.
    pub fn code(&self) -> &'a str {
        self.code
    }

    /// The functions in the backtrace whose source is `file`, or begins so, without their paths, from the innermost one
    /// on.
    pub fn functions(&self, file: &str) -> impl Iterator<Item = &'a str> {
        let place = format!(" ({file}");
        self.backtrace.iter().filter_map(move |line| {
            let (name, _) = line.split_once(&place)?;
            name.rsplit([' ', ':']).next()
        })
    }

    /// Fails unless the first line starts so.
    pub fn expect_headline(self, expected: &str) -> Self {
        assert!(self.headline.starts_with(expected), "the headline is not `{expected}`:\n{}", self.outcome);
        self
    }

    /// Fails unless the first line has this in it.
    pub fn expect_in_headline(self, expected: &str) -> Self {
        assert!(self.headline.contains(expected), "the headline has no `{expected}`:\n{}", self.outcome);
        self
    }

    /// Fails unless the line that names the thread ends so. The thread's number, in front, is not looked at.
    pub fn expect_thread(self, expected: &str) -> Self {
        let (number, thread) = self.context.split_once(' ').unwrap_or_default();
        assert!(number.parse::<u32>().is_ok(), "the thread has no number:\n{}", self.outcome);
        assert_eq!(thread, expected, "the console:\n{}", self.outcome);
        self
    }

    /// Fails unless the rights are these.
    pub fn expect_rights(self, expected: &str) -> Self {
        assert_eq!(self.rights, expected, "the console:\n{}", self.outcome);
        self
    }

    /// Fails unless the backtrace names each of these functions of the source file `file`, or of files whose names
    /// begin so, in this order from the innermost one on. Others may be in between.
    pub fn expect_backtrace(self, file: &str, functions: &[&str]) -> Self {
        let mut named = self.functions(file);
        for function in functions {
            let found = named.by_ref().any(|name| name == *function);
            assert!(found, "the backtrace does not name `{function}` of {file} where it should:\n{}", self.outcome);
        }
        self
    }
}
