//! Which compiler builds the guest, and where its library source comes from.
//!
//! The guest's std is built from source, and that source has to be exactly the compiler's own. Two toolchains have it:
//! the one that cargo runs here, after `rustup component add rust-src`; and Debian's `rustc-web`, `cargo-web` and
//! `rust-web-src`, which are one matched set of their own and are used side by side with the host's toolchain.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

/// The variable that forces one kind of toolchain, as `--toolchain` does.
pub const TOOLCHAIN_VARIABLE: &str = "HOLDFAST_TOOLCHAIN";

/// Debian's packages of the matched set, and the linker that rustup's toolchains bring along and Debian's does not.
pub const DEBIAN_PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld"];

/// Where a toolchain has the library's source.
const LIBRARY: &str = "lib/rustlib/src/rust/library";

/// The variable by which cargo takes another linker for the guest.
const LINKER_VARIABLE: &str = "CARGO_TARGET_X86_64_UNKNOWN_HERMIT_LINKER";

/// The variables by which build scripts find a compiler for C or C++ code of the guest, and a program that refuses to
/// be one.
const C_COMPILERS: [&str; 2] = ["CC_x86_64_unknown_hermit", "CXX_x86_64_unknown_hermit"];
const NO_C_COMPILER: &str = "xtask/no-c-compiler";

/// What is built of the library for a program.
const CRATES: &str = "-Zbuild-std=std,panic_abort";
/// What is built of it for tests.
const TEST_CRATES: &str = "-Zbuild-std=std,panic_abort,test";

/// What the user asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Choice {
    /// Whatever is there; else rustup; else Debian.
    #[default]
    Auto,
    /// The toolchain that cargo runs here, with rustup's `rust-src`.
    Rustup,
    /// Debian's matched set.
    Debian,
}

/// The choice of the guest's compiler.
#[derive(Debug, Args)]
pub struct ToolchainArgument {
    /// The compiler for the guest: rustup's with rust-src, Debian's matched set, or whichever there is (also:
    /// HOLDFAST_TOOLCHAIN)
    #[arg(long, value_name = "rustup|debian|auto")]
    pub toolchain: Option<Choice>,
}

impl std::str::FromStr for Choice {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" | "" => Ok(Self::Auto),
            "rustup" => Ok(Self::Rustup),
            "debian" => Ok(Self::Debian),
            _ => bail!("`{text}` is no toolchain: choose rustup, debian or auto"),
        }
    }
}

impl Choice {
    /// The choice of the command line, else of `HOLDFAST_TOOLCHAIN`, else [`Choice::Auto`].
    ///
    /// # Errors
    /// When the variable is set to something unknown.
    pub fn resolve(option: Option<Self>) -> Result<Self> {
        match (option, std::env::var(TOOLCHAIN_VARIABLE)) {
            (Some(choice), _) => Ok(choice),
            (None, Ok(value)) => value.parse().with_context(|| format!("in the variable {TOOLCHAIN_VARIABLE}")),
            (None, Err(_)) => Ok(Self::Auto),
        }
    }
}

/// A compiler whose own library source is at hand: everything needed to build the guest.
#[derive(Clone, Debug)]
pub struct Toolchain {
    cargo: OsString,
    rustc: OsString,
    rustdoc: Option<OsString>,
    linker: Option<&'static str>,
    library: PathBuf,
    is_host: bool,
    description: String,
}

impl Toolchain {
    /// The toolchain that cargo runs here, if its library source is present.
    pub fn host() -> Option<Self> {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let sysroot = sysroot(&rustc)?;
        if !has_library_source(&sysroot) {
            return None;
        }
        // Rustup's toolchains carry their own lld; where there is none, the system's has to serve.
        let own_linker = sysroot.join("lib/rustlib").join(host_triple(&rustc)?).join("bin/rust-lld");
        let linker = if own_linker.is_file() { None } else { Some(find_program("ld.lld").map(|_| "ld.lld")?) };
        Some(Self {
            cargo: std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()),
            description: format!("{} with its own library source", version(&rustc)?),
            rustc,
            rustdoc: None,
            linker,
            library: sysroot.join(LIBRARY),
            is_host: true,
        })
    }

    /// Debian's matched set, if all of it is installed.
    pub fn debian() -> Option<Self> {
        let rustc = OsString::from("/usr/bin/rustc");
        let cargo = Path::new("/usr/bin/cargo");
        let sysroot = sysroot(&rustc)?;
        if !has_library_source(&sysroot) || !cargo.is_file() || find_program("ld.lld").is_none() {
            return None;
        }
        Some(Self {
            cargo: cargo.into(),
            description: format!("Debian's {} with rust-web-src", version(&rustc)?),
            rustc,
            rustdoc: Some("/usr/bin/rustdoc".into()),
            linker: Some("ld.lld"),
            library: sysroot.join(LIBRARY),
            is_host: false,
        })
    }

    /// A cargo command for the guest's target, to which the caller adds packages and options:
    /// `cargo SUBCOMMAND --target … -Zbuild-std=…`, run in the root of the checkout.
    pub fn guest_cargo(&self, subcommand: &str) -> Command {
        self.guest_cargo_in(subcommand, crate::workspace::root(), &crate::workspace::guest_target_directory())
    }

    /// The same command for another workspace, in this directory, and for another output directory.
    pub fn guest_cargo_in(&self, subcommand: &str, workspace: &Path, target: &Path) -> Command {
        self.guest_cargo_with(CRATES, subcommand, workspace, target)
    }

    /// The same command with these crates of the library.
    fn guest_cargo_with(&self, crates: &str, subcommand: &str, workspace: &Path, target: &Path) -> Command {
        let mut command = Command::new(&self.cargo);
        command
            .current_dir(workspace)
            .arg(subcommand)
            .args(["--target", crate::workspace::GUEST_TARGET, crates])
            .arg("--target-dir")
            .arg(target)
            // build-std is a nightly option; the variable allows it on the stable compiler that the source belongs to.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTC", &self.rustc)
            // Either of these would replace the flags that .cargo/config.toml gives the guest, and the image would
            // not boot.
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            // `cargo run` points it into the host's toolchain, which is not always the guest's.
            .env_remove("LD_LIBRARY_PATH");
        if let Some(rustdoc) = &self.rustdoc {
            command.env("RUSTDOC", rustdoc);
        }
        if let Some(linker) = self.linker {
            command.env(LINKER_VARIABLE, linker);
        }
        refuse_c(&mut command);
        command
    }

    /// A cargo command for tests that run in the guest: with libtest, and for panics that unwind (see `libos/unwind`).
    /// It is run in this directory, with flags for rustc in front of which nobody else's come.
    ///
    /// # Errors
    /// When the guest's flags cannot be read.
    pub fn guest_test_cargo(&self, workspace: &Path, more_flags: &[&str]) -> Result<Command> {
        let mut command =
            self.guest_cargo_with(TEST_CRATES, "test", workspace, &crate::workspace::guest_test_directory());
        let script = crate::workspace::root().join("libos/image.ld");
        let place = |flag: String| match flag.strip_prefix("-Clink-arg=-T") {
            Some(_) => format!("-Clink-arg=-T{}", script.display()),
            None => flag,
        };
        let mut flags: Vec<String> = crate::workspace::guest_rustflags()?.into_iter().map(place).collect();
        flags.push("-Cpanic=unwind".to_owned());
        flags.extend(more_flags.iter().map(|&flag| flag.to_owned()));
        // Where the profile says otherwise, cargo would build the library twice and mix the two.
        command
            .args(["--profile=quick", "--config", "profile.quick.panic=\"unwind\""])
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
        Ok(command)
    }

    /// Whether this is the toolchain that cargo runs here.
    pub fn is_host(&self) -> bool {
        self.is_host
    }

    /// The directory of the library's source.
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// One line for people: which compiler, and whose source.
    pub fn description(&self) -> &str {
        &self.description
    }
}

/// Lets build scripts fail that compile C or C++ code for the guest: they would take the host's compiler and headers.
/// Who names a compiler has one.
fn refuse_c(command: &mut Command) {
    for variable in C_COMPILERS {
        if std::env::var_os(variable).is_none() {
            command.env(variable, crate::workspace::root().join(NO_C_COMPILER));
        }
    }
}

/// Where `program` is on the `PATH`, if it is.
pub fn find_program(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|candidate| is_executable(candidate))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

fn has_library_source(sysroot: &Path) -> bool {
    sysroot.join(LIBRARY).join("Cargo.lock").is_file()
}

fn sysroot(rustc: &OsString) -> Option<PathBuf> {
    output(rustc, &["--print", "sysroot"]).map(PathBuf::from)
}

fn version(rustc: &OsString) -> Option<String> {
    let text = output(rustc, &["--version"])?;
    Some(text.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
}

fn host_triple(rustc: &OsString) -> Option<String> {
    output(rustc, &["-vV"])?.lines().find_map(|line| line.strip_prefix("host: ").map(str::to_owned))
}

fn output(program: &OsString, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).env_remove("LD_LIBRARY_PATH").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toolchain_names_parse() {
        assert_eq!("rustup".parse::<Choice>().unwrap(), Choice::Rustup);
        assert_eq!("debian".parse::<Choice>().unwrap(), Choice::Debian);
        assert_eq!("auto".parse::<Choice>().unwrap(), Choice::Auto);
        assert!("nightly".parse::<Choice>().unwrap_err().to_string().contains("nightly"));
    }

    /// Only its build script is built and run.
    #[test]
    fn c_code_in_a_dependency_is_refused_and_the_crate_is_named() {
        let crate_ = tempfile::tempdir().unwrap();
        for (name, text) in [
            (
                "Cargo.toml",
                "[package]\nname = \"has-c-code\"\nedition = \"2024\"\n[build-dependencies]\ncc = \"1\"\n[workspace]\n",
            ),
            ("build.rs", "fn main() { cc::Build::new().file(\"code.c\").compile(\"code\"); }"),
            ("code.c", "int code(void) { return 7; }"),
            ("lib.rs", ""),
        ] {
            std::fs::write(crate_.path().join(name), text).unwrap();
        }
        std::fs::create_dir(crate_.path().join("src")).unwrap();
        std::fs::rename(crate_.path().join("lib.rs"), crate_.path().join("src/lib.rs")).unwrap();
        // The crate cc is one of xtask's own, for this test, so cargo has it.
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap());
        cargo.current_dir(&crate_).args(["build", "--offline", "--target", crate::workspace::GUEST_TARGET]);
        cargo.arg("--target-dir").arg(crate_.path().join("target"));
        refuse_c(&mut cargo);
        let output = cargo.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(said.contains("the crate `has-c-code` 0.0.0 compiles C or C++ code"), "{said}");
    }

    #[test]
    fn the_command_line_wins_over_the_variable() {
        assert_eq!(Choice::resolve(Some(Choice::Debian)).unwrap(), Choice::Debian);
    }

    #[test]
    fn a_program_is_found_on_the_path_or_not_at_all() {
        assert!(find_program("sh").is_some());
        assert!(find_program("holdfast-has-no-such-program").is_none());
    }
}
