//! `cargo xtask setup` on machines that lack things: each is a directory of stand-ins for rustc, rustup, apt-get and
//! QEMU, which is all that the command sees of a machine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A machine made of shell scripts.
struct FakeMachine(TempDir);

impl FakeMachine {
    /// A machine with a compiler that has no library source, and nothing else.
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        let sysroot = machine.path("sysroot");
        fs::create_dir_all(format!("{sysroot}/lib/rustlib/fake/bin")).unwrap();
        machine.program_at(&format!("{sysroot}/lib/rustlib/fake/bin/rust-lld"), "exit 0");
        let answers = format!(
            "case \"$1\" in --print) echo '{sysroot}';; --version) echo 'rustc 1.2.3 (fake)';; -vV) echo 'host: fake';; esac"
        );
        fs::create_dir(machine.path("bin")).unwrap();
        machine.program("rustc", &answers)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn program(self, name: &str, script: &str) -> Self {
        self.program_at(&self.path(&format!("bin/{name}")), script);
        self
    }

    fn program_at(&self, path: &str, script: &str) {
        fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The shell command that puts the library source in its place.
    fn add_source(&self) -> String {
        let library = self.path("sysroot/lib/rustlib/src/rust/library");
        format!("/bin/mkdir -p '{library}' && : > '{library}/Cargo.lock'")
    }

    fn with_source(self) -> Self {
        let script = self.add_source();
        assert!(Command::new("/bin/sh").args(["-c", &script]).status().unwrap().success());
        self
    }

    fn with_tools(self) -> Self {
        self.program("qemu-system-x86_64", "exit 0")
            .program("redis-cli", "exit 0")
            .program("redis-benchmark", "exit 0")
            .program("gdb", "exit 0")
    }

    /// Runs `setup` and returns whether it succeeded, and all that it said.
    fn setup(&self) -> (bool, String) {
        let output = Command::new(std::env::var_os("CARGO_BIN_EXE_xtask").unwrap())
            .args(["setup", "--toolchain", "rustup"])
            .env("PATH", self.path("bin"))
            .env("CARGO_TARGET_DIR", self.path("target"))
            .env_remove("RUSTC")
            .env_remove("HOLDFAST_TOOLCHAIN")
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn a_machine_with_everything_has_nothing_installed() {
    let machine = FakeMachine::new().with_source().with_tools().program("apt-get", "echo \"touched $1\"; exit 1");
    let (succeeded, said) = machine.setup();
    assert!(succeeded, "{said}");
    assert!(said.contains("everything is there") && said.contains("rustc 1.2.3"), "{said}");
    assert!(!said.contains("touched install"), "{said}");
}

#[test]
fn a_kernel_for_the_tests_on_linux_that_cannot_be_had_is_said_and_no_error() {
    let machine = FakeMachine::new().with_source().with_tools().program("apt-get", "exit 1");
    let (succeeded, said) = machine.setup();
    assert!(succeeded, "{said}");
    assert!(said.contains("the tests on Linux will be without"), "{said}");
    assert!(said.contains("cannot get Debian's kernel: `apt-get update` failed"), "{said}");
}

#[test]
fn rustup_adds_the_library_source() {
    let machine = FakeMachine::new().with_tools();
    let script = format!("echo \"rustup was told: $*\"; {}", machine.add_source());
    let (succeeded, said) = machine.program("rustup", &script).setup();
    assert!(succeeded, "{said}");
    assert!(said.contains("setup: rustup component add rust-src"), "{said}");
    assert!(said.contains("rustup was told: component add rust-src"), "{said}");
}

#[test]
fn a_rustup_that_fails_leads_to_the_command_to_type() {
    let (succeeded, said) = FakeMachine::new().with_tools().program("rustup", "exit 1").setup();
    assert!(!succeeded, "{said}");
    assert!(said.contains("rustup could not add rust-src"), "{said}");
    assert!(said.contains("\n    rustup component add rust-src\n"), "{said}");
}

#[test]
fn without_apt_there_is_one_command_to_type_for_all_that_is_missing() {
    let (succeeded, said) = FakeMachine::new().setup();
    assert!(!succeeded, "{said}");
    assert!(said.contains("qemu-system-x86_64 is missing"), "{said}");
    assert!(
        said.contains(
            "\n    rustup component add rust-src && sudo apt-get install --no-install-recommends qemu-system-x86 redis-tools gdb\n"
        ),
        "{said}"
    );
}

#[test]
fn root_installs_packages_and_others_are_told_how() {
    let machine = FakeMachine::new().with_source();
    let bin = machine.path("bin");
    // It knows no package before the lists are updated.
    let apt_get = format!(
        "echo \"apt-get: $*\"
         case \"$*\" in
           *update*) : > '{bin}/updated';;
           *install*) for tool in qemu-system-x86_64 redis-cli redis-benchmark gdb; do
               echo '#!/bin/sh' > '{bin}/'$tool; /bin/chmod +x '{bin}/'$tool; done;;
         esac"
    );
    let machine = machine.program("apt-get", &apt_get).program("apt-cache", &format!("test -e '{bin}/updated'"));
    let (succeeded, said) = machine.setup();
    if is_root() {
        assert!(succeeded, "{said}");
        let update = said.find("setup: apt-get update").unwrap();
        let install = said.find("setup: apt-get install qemu-system-x86 redis-tools gdb").unwrap();
        assert!(update < install, "{said}");
        assert!(said.contains("install --yes --no-install-recommends qemu-system-x86 redis-tools gdb"), "{said}");
        assert!(Path::new(&bin).join("qemu-system-x86_64").exists());
    } else {
        assert!(!succeeded && said.contains("only root") && said.contains("\n    sudo apt-get install"), "{said}");
    }
}

#[test]
fn an_apt_that_fails_is_an_error_of_its_own() {
    let machine = FakeMachine::new().with_source().program("apt-get", "exit 100").program("apt-cache", "exit 0");
    let (succeeded, said) = machine.setup();
    assert!(!succeeded, "{said}");
    if is_root() {
        assert!(said.contains("update, and once more") && said.contains("apt-get update` failed"), "{said}");
    }
}
