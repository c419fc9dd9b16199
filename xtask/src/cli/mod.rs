//! The command line: what can be typed, and what is not supported yet.

mod bench;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use xtask::run::arguments::{MOST_PROCESSORS, RunArguments};
use xtask::setup::toolchain::ToolchainArgument;
use xtask::size;

pub use bench::{BenchCommand, GuestArguments, Results};

/// Builds, runs, tests and checks Holdfast.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Install what is missing to build, run and test (the other commands do it by themselves)
    Setup {
        #[command(flatten)]
        toolchain: ToolchainArgument,
    },
    /// Build a program under apps/, the store if no other is named, and run it in a virtual machine
    Run(Box<RunArguments>),
    /// Make a program under apps/ to start from
    New {
        /// Its name: a-z, 0-9 and dashes
        name: String,
    },
    /// Run every test, from unit tests to booted images
    Test {
        /// Run only the stages (host, native, guest, std, pool, soak) or tests whose name contains this; std::NAME are
        /// Rust's own library tests with this name, native::NAME those under hardware keys
        filter: Option<String>,
        /// Processors of the machines for the stage std [default: 2]
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=MOST_PROCESSORS))]
        smp: Option<u32>,
        #[command(flatten)]
        toolchain: ToolchainArgument,
    },
    /// Run the tests of a package in the guest: `cargo xtask guest-test -p hello [-- ARGS]`. What follows is for `cargo
    /// test`
    GuestTest {
        /// Processors of the machines
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=MOST_PROCESSORS))]
        smp: u32,
        /// RAM of the machines
        #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = size::parse)]
        memory: u64,
        #[command(flatten)]
        toolchain: ToolchainArgument,
        /// Arguments of `cargo test`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        arguments: Vec<String>,
    },
    /// Boot an image, show what it prints, and end with its status: a runner for cargo
    Boot {
        /// Processors of the machine
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=MOST_PROCESSORS))]
        smp: u32,
        /// RAM of the machine
        #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = size::parse)]
        memory: u64,
        /// Leave the network card out
        #[arg(long)]
        no_net: bool,
        /// The image
        image: PathBuf,
        /// Arguments of its program
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        arguments: Vec<String>,
    },
    /// Check format, lints, documentation, dependencies, the order of the rooms and the sources' form
    Check {
        /// Only the check with this name, `floors` for example
        name: Option<String>,
        #[command(flatten)]
        toolchain: ToolchainArgument,
    },
    /// Inject faults and judge what they leave in persistent memory (`cargo xtask faults --help` has the options)
    #[command(disable_help_flag = true)]
    Faults {
        #[command(flatten)]
        toolchain: ToolchainArgument,
        /// Options of the campaign
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
        options: Vec<String>,
    },
    /// Look for bytes that the pool does not stand, with libFuzzer
    Fuzz {
        /// Only this target: open_image or operations
        target: Option<String>,
        /// How long to look, for each target
        #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..))]
        seconds: u32,
    },
    /// Run the unit tests of the crates with unsafe code in Miri, which finds undefined behaviour
    Miri,
    /// Record what a booted store does to persistent memory and open the images that power cuts could leave (`cargo
    /// xtask crash --help` has the options)
    #[command(disable_help_flag = true)]
    Crash {
        #[command(flatten)]
        toolchain: ToolchainArgument,
        /// Options of the exploration
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
        options: Vec<String>,
    },
    /// Measure the store in its machine, or what else is named
    #[command(args_conflicts_with_subcommands = true)]
    Bench {
        /// What to measure.
        #[command(subcommand)]
        command: Option<BenchCommand>,
        #[command(flatten)]
        guest: Box<GuestArguments>,
    },
    /// Make, look into, check, repair, empty, fill, enlarge and migrate a pmem image from the host
    Pool {
        /// What to do with it.
        #[command(subcommand)]
        command: PoolCommand,
    },
}

/// What can be done with an image.
#[derive(Debug, Subcommand)]
pub enum PoolCommand {
    /// Show what the image holds; it is only read
    Info {
        /// The image
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Verify all of the image and name every damaged byte range; the status is 1 if there is damage
    Check {
        /// The image
        file: PathBuf,
        /// Isolate the damage: keep what is whole, give up what is not
        #[arg(long)]
        repair: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print every key with its value; the image is only read
    Dump {
        /// The image
        file: PathBuf,
        /// Print a line of JSON for each key, as `load` reads it
        #[arg(long)]
        json: bool,
    },
    /// Put keys into the image from what `dump --json` printed
    Load {
        /// The image
        file: PathBuf,
        /// The lines; from the standard input if it is left out
        lines: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make the pool one of the newest version of the format, in place
    Migrate {
        /// The image
        file: PathBuf,
    },
    /// Make the image larger, and the pool in it, in place
    Grow {
        /// The image
        file: PathBuf,
        /// The size that it is to have, e.g. 64M or 2G
        #[arg(long, value_parser = size::parse)]
        size: u64,
    },
    /// Make an image with an empty pool
    Create {
        /// The image, which must not exist
        file: PathBuf,
        /// Its size, e.g. 64M or 2G
        #[arg(long, value_parser = size::parse)]
        size: u64,
        /// A name for people, at most 32 bytes
        #[arg(long, default_value = "")]
        label: String,
        /// Bytes per segment, a power of two from 64K to 4M [default: by the size]
        #[arg(long, value_name = "SIZE", value_parser = size::parse)]
        segment_size: Option<u64>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use anyhow::Result;
    use xtask::qemu::{Network, Protection, ProtectionChoice};
    use xtask::run::RunOptions;
    use xtask::tap::FIRST;

    use super::*;

    fn options(arguments: &[&str]) -> Result<RunOptions> {
        let words = ["xtask", "run"].iter().chain(arguments);
        match Cli::try_parse_from(words)?.command {
            Command::Run(run) => run.options(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn without_options_the_defaults_of_the_manual_hold() {
        let options = options(&[]).unwrap();
        assert_eq!((options.app.as_str(), options.port), ("kvstore", None));
        assert_eq!(options.listen, Ipv4Addr::LOCALHOST);
        assert_eq!((options.pmem, options.pmem_size), (None, None));
        assert_eq!(options.machine.memory, 256 * size::MIB);
        assert_eq!((options.machine.smp, options.machine.protection), (1, ProtectionChoice::Auto));
    }

    #[test]
    fn options_reach_the_machine_and_the_rest_reaches_the_store() {
        let options = options(&[
            "--app",
            "hello",
            "--pmem",
            "a.img",
            "--pmem-size",
            "64M",
            "--net",
            "tap",
            "--protection",
            "none",
            "--smp",
            "2",
            "--",
            "--port",
            "7",
        ])
        .unwrap();
        assert_eq!(options.pmem_size, Some(64 * size::MIB));
        assert_eq!(options.machine.network, Network::Tap(FIRST));
        assert_eq!(options.machine.protection, Protection::None.into());
        assert_eq!(options.machine.smp, 2);
        assert_eq!(options.machine.arguments, ["--port", "7"]);
        assert_eq!(options.app, "hello");
    }

    /// What is to be measured by these words.
    fn bench(line: &str) -> Result<BenchCommand> {
        match Cli::try_parse_from(["xtask", "bench"].into_iter().chain(line.split_whitespace()))?.command {
            Command::Bench { command, guest } => Ok(command.unwrap_or(BenchCommand::Guest(guest))),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_machine_is_measured_if_nothing_else_is_named() {
        for line in ["", "guest", "--against redis-linux", "guest --against redis-linux --rounds 3"] {
            let BenchCommand::Guest(guest) = bench(line).unwrap() else { panic!("{line}") };
            let against = line.contains("redis-linux").then_some("redis-linux");
            assert_eq!(guest.against.as_deref(), against, "{line}");
            assert_eq!(guest.options().protection, Protection::Pks.into());
        }
        assert!(matches!(bench("native").unwrap(), BenchCommand::Native { .. }));
        assert!(bench("--rounds 3 native").is_err(), "it would not be native's");
        assert!(bench("--memory 1M").is_err());
    }

    #[test]
    fn no_command_takes_more_processors_than_the_guest_uses() {
        for command in ["run", "test", "guest-test", "boot image", "bench", "bench recovery"] {
            let words = |count| format!("xtask {command} --smp {count}");
            let parse = |line: String| Cli::try_parse_from(line.split(' '));
            assert!(parse(words(64)).is_ok(), "{command}");
            assert!(parse(words(65)).is_err_and(|error| error.to_string().contains("1..=64")), "{command}");
        }
    }

    #[test]
    fn protected_mode_keeps_from_listening_beyond_loopback() {
        for address in ["127.0.0.1", "127.3.2.1", "::1"] {
            assert_eq!(options(&["--listen", address]).unwrap().listen.to_string(), address);
        }
        for address in ["0.0.0.0", "192.0.2.7", "::", "fe80::1"] {
            let refused = options(&["--listen", address]).unwrap_err().to_string();
            assert!(refused.contains("say --protected-mode no too"), "{refused}");
            assert!(options(&["--listen", address, "--protected-mode", "yes"]).is_err(), "{address}");
            assert!(options(&["--listen", address, "--protected-mode", "no"]).is_ok(), "{address}");
        }
    }

    #[test]
    fn bad_values_are_refused_with_the_option_in_the_message() {
        for arguments in [
            ["--pmem-size", "lots"],
            ["--port", "70000"],
            ["--smp", "0"],
            ["--smp", "65"],
            ["--memory", "1M"],
            ["--net", "wifi"],
            ["--toolchain", "nightly"],
            ["--listen", "somewhere"],
            ["--protected-mode", "perhaps"],
            ["--file", "/etc/config"],
        ] {
            let error = options(&arguments).unwrap_err().to_string();
            assert!(error.contains(arguments[0]), "{error}");
        }
    }
}
