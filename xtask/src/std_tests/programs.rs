//! The images of the test programs: built by cargo, booted in QEMU.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::events;
use super::session::Boot;
use super::tree::{self, Source};
use crate::annotate::Annotator;
use crate::qemu::{Event, Machine, MachineOptions};
use crate::setup::toolchain::Toolchain;
use crate::size::MIB;

/// RAM of a machine: some tests of collections fill more than a hundred MiB.
const MEMORY: u64 = 512 * MIB;
/// A machine of which libtest says nothing for so long is at a standstill. The longest test takes some seconds.
const PATIENCE: Duration = Duration::from_secs(300);

/// A test program's image.
#[derive(Debug)]
pub(super) struct Program {
    /// Its name.
    pub(super) name: String,
    image: PathBuf,
}

/// Builds the programs of these sources.
pub(super) fn build(toolchain: &Toolchain, sources: &[&Source]) -> Result<Vec<Program>> {
    let mut cargo = toolchain.guest_test_cargo(&tree::directory(), &[])?;
    cargo.args(["--no-run", "--quiet", "--message-format", "json-render-diagnostics"]);
    for source in sources {
        cargo.args(["--test", &source.name]);
    }
    let mut child =
        cargo.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot run {:?}", cargo.get_program()))?;
    let mut programs = Vec::new();
    for line in child.stdout.take().into_iter().flat_map(|stdout| BufReader::new(stdout).lines()) {
        programs.extend(artifact(&line?));
    }
    if !child.wait()?.success() {
        bail!("the library tests did not build (cargo's messages are above)");
    }
    // Cargo builds in the order that suits it.
    let place = |program: &Program| sources.iter().position(|source| source.name == program.name);
    programs.sort_by_key(place);
    Ok(programs)
}

/// The test program that one of cargo's messages is about.
fn artifact(message: &str) -> Option<Program> {
    let message: Value = serde_json::from_str(message).ok()?;
    let is_test = message["reason"] == "compiler-artifact" && message["profile"]["test"] == true;
    let image = message["executable"].as_str().filter(|_| is_test)?.into();
    Some(Program { name: message["target"]["name"].as_str()?.to_owned(), image })
}

impl Program {
    /// Boots the image with these arguments for libtest and these variables, and waits for its end.
    pub(super) fn boot(&self, processors: u32, arguments: &[String], variables: &[(&str, &str)]) -> Result<Boot> {
        let format = ["-Zunstable-options", "--format", "json"].map(str::to_owned);
        // libtest takes its unstable options from whoever sets this variable.
        let variables = variables.iter().chain(&[("RUSTC_BOOTSTRAP", "1")]);
        let options = MachineOptions {
            image: self.image.clone(),
            name: self.name.clone(),
            arguments: format.into_iter().chain(arguments.iter().cloned()).collect(),
            environment: variables.map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
            memory: MEMORY,
            smp: processors,
            ..MachineOptions::default()
        };
        let mut annotator = Annotator::load(&self.image)?;
        let (sender, news) = mpsc::channel();
        let machine = Machine::start(options, Some(sender))?;
        let mut boot = Boot::default();
        let mut last_word = Instant::now();
        loop {
            let left = PATIENCE.saturating_sub(last_word.elapsed());
            match news.recv_timeout(left) {
                Ok(Event::Line(line)) => match events::parse(&line) {
                    Some(event) => {
                        last_word = Instant::now();
                        boot.events.push(event);
                    }
                    None => boot.noise.push(annotator.annotate(&line)),
                },
                Ok(Event::Diagnostic(line)) => boot.noise.push(format!("QEMU: {line}")),
                Ok(Event::Exited(exit)) => {
                    boot.end = exit.to_string();
                    boot.status = match exit {
                        crate::qemu::Exit::Guest(code) => Some(code),
                        _ => None,
                    };
                    return Ok(boot);
                }
                Err(_) => {
                    machine.kill();
                    boot.end = format!("no test came to an end for {} s", PATIENCE.as_secs());
                    return Ok(boot);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_cargos_messages_only_test_programs_count() {
        let message = r#"{"reason":"compiler-artifact","target":{"name":"sync"},"profile":{"test":true},"executable":"/t/sync-1"}"#;
        let program = artifact(message).unwrap();
        assert_eq!((program.name.as_str(), program.image.to_str()), ("sync", Some("/t/sync-1")));
        for other in [
            "",
            r#"{"reason":"compiler-artifact","target":{"name":"libos"},"profile":{"test":false},"executable":null}"#,
            r#"{"reason":"build-finished","success":true}"#,
        ] {
            assert!(artifact(other).is_none(), "{other}");
        }
    }
}
