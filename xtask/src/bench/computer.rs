//! The computer that is measured on: which processors there are, and what it is made of.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use rustix::thread::{CpuSet, sched_setaffinity};

/// Where servers and loads run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Computer {
    /// The processor for the server and that for the load, if they are to have one each.
    pub processors: Option<[u32; 2]>,
    /// How many there are.
    count: usize,
}

impl Computer {
    /// This one.
    ///
    /// # Errors
    /// When Linux does not say which processors it has.
    pub fn this() -> Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        let list = field(&status, "Cpus_allowed_list").context("Linux does not say which processors there are")?;
        let processors = list_of_processors(list).with_context(|| format!("these are no processors: {list}"))?;
        Ok(Self { processors: processors.first_chunk().copied(), count: processors.len() })
    }

    /// This one, whose kernel chooses the processors for servers and loads.
    ///
    /// # Errors
    /// As [`Self::this`].
    pub fn unpinned() -> Result<Self> {
        Ok(Self { processors: None, ..Self::this()? })
    }

    /// `command`, on the processor for servers.
    pub fn on_server_cpu(&self, command: Command) -> Command {
        self.pinned(command, 0)
    }

    /// `command`, on the processor for loads.
    pub fn on_load_cpu(&self, command: Command) -> Command {
        self.pinned(command, 1)
    }

    /// Keeps the calling thread on the processor for loads.
    ///
    /// # Errors
    /// When Linux refuses it.
    pub fn stay_on_load_cpu(&self) -> Result<()> {
        let Some([_, load]) = self.processors else { return Ok(()) };
        let mut set = CpuSet::new();
        set.set(load as usize);
        Ok(sched_setaffinity(None, &set)?)
    }

    fn pinned(&self, command: Command, which: usize) -> Command {
        let Some(processors) = self.processors else { return command };
        let mut pinned = Command::new("taskset");
        pinned.args(["--cpu-list", &processors[which].to_string()]).arg(command.get_program()).args(command.get_args());
        pinned
    }
}

/// What the processor, the kernel and so on are, each with its name.
///
/// # Errors
/// When Linux does not say.
pub fn description(computer: &Computer) -> Result<Vec<(String, String)>> {
    let info = fs::read_to_string("/proc/cpuinfo")?;
    let model = field(&info, "model name").unwrap_or("unknown");
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let count = format!("{}{}", computer.count, if is_virtual(&info) { ", of a virtual machine" } else { "" });
    // Linux tells of it where it can choose how fast a processor runs.
    let governor = fs::read_to_string("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    let governor = governor.unwrap_or_else(|_| "none: the kernel does not choose the processors' speed".to_owned());
    Ok([("processor", model), ("processors", &count), ("governor", governor.trim()), ("kernel", kernel.trim())]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into())
}

/// The type and the options of the file system that a directory is on.
///
/// # Errors
/// When `findmnt` does not know.
pub fn file_system(directory: &Path) -> Result<String> {
    let mut command = Command::new("findmnt");
    command.args(["--noheadings", "--raw", "--first-only", "--output", "FSTYPE,OPTIONS", "--target"]).arg(directory);
    let output = command.output().context("cannot run findmnt")?;
    if !output.status.success() {
        bail!("findmnt does not know the file system of {}", directory.display());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Whether a virtual machine's kernel says this of its processors.
fn is_virtual(cpuinfo: &str) -> bool {
    field(cpuinfo, "flags").is_some_and(|flags| flags.split_whitespace().any(|flag| flag == "hypervisor"))
}

/// The value of a field in a file of Linux's with `name : value` in each line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.filter(|(found, _)| found.trim() == name).map(|(_, value)| value.trim()).next()
}

/// The processors in a list such as `0-2,7` (cpuset(7)).
fn list_of_processors(list: &str) -> Option<Vec<u32>> {
    let mut processors = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        processors.extend(first.parse::<u32>().ok()?..=last.parse().ok()?);
    }
    Some(processors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors_are_read() {
        assert_eq!(list_of_processors("0-2,7"), Some(vec![0, 1, 2, 7]));
        assert_eq!(list_of_processors("3"), Some(vec![3]));
        assert_eq!(list_of_processors("0-x"), None);
    }

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "vendor_id\t: A\nmodel\t\t: 1\nmodel name\t: B C\n";
        assert_eq!(field(text, "model name"), Some("B C"));
        assert_eq!(field(text, "name"), None);
    }

    #[test]
    fn a_virtual_machine_is_told_by_its_processors() {
        assert!(is_virtual("flags\t\t: fpu hypervisor avx\n"));
        assert!(!is_virtual("flags\t\t: fpu avx\nbugs\t\t: hypervisor\n"));
    }

    #[test]
    fn programs_are_pinned_where_there_are_processors_to_choose_from() {
        let mut program = Command::new("true");
        program.arg("x");
        let pinned = Computer { processors: Some([4, 6]), count: 2 }.on_load_cpu(program);
        assert_eq!(format!("{pinned:?}"), r#""taskset" "--cpu-list" "6" "true" "x""#);
        let alone = Computer { processors: None, count: 1 }.on_server_cpu(Command::new("true"));
        assert_eq!(format!("{alone:?}"), r#""true""#);
    }
}
