//! Redis on Linux in a machine: Debian's kernel and packages, nothing installed on this computer.
//!
//! The machine's first file system has Redis, the libraries that it needs, and an append-only log of the keys, all in
//! RAM: no disk slows Redis down. Time begins when Linux is up and Redis is started.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::{Spent, VALUE, key};
use crate::cpio::Archive;
use crate::output::say;
use crate::processor_time::processor_time;
use crate::setup::QEMU;
use crate::workspace;

/// What the machine's file system is made of: Redis, its libraries, and a shell.
const PACKAGES: [&str; 17] = [
    "busybox-static",
    "redis-server",
    "redis-tools",
    "libatomic1",
    "libc6",
    "libcap2",
    "libgcc-s1",
    "libgcrypt20",
    "libgpg-error0",
    "libjemalloc2",
    "liblz4-1",
    "liblzf1",
    "liblzma5",
    "libssl3",
    "libstdc++6",
    "libsystemd0",
    "libzstd1",
];
/// The package that depends on the kernel.
const KERNEL: &str = "linux-image-amd64";
/// What is printed right before Redis starts, and when it has answered.
const STARTS: &str = "bench: redis starts";
/// See [`STARTS`].
const ANSWERED: &str = "bench: redis answered ";

/// Starts Linux, and in it Redis with a log of so many keys. From Redis's start to its first answer.
///
/// # Errors
/// When packages cannot be fetched, or Redis does not answer.
pub fn measure(keys: u64, smp: u32, directory: &Path) -> Result<Spent> {
    let (kernel, root) = packages().context("cannot get Debian's kernel and Redis")?;
    let initrd = directory.join("initrd");
    write_initrd(&initrd, &root, keys)?;
    let log = (keys as usize * (VALUE + 60)).div_ceil(1 << 20);
    let memory = 512 + 2 * log + (keys as usize * 256).div_ceil(1 << 20);
    let mut qemu = Command::new(QEMU.program);
    qemu.args(["-machine", "q35", "-accel", "tcg", "-cpu", "max", "-nodefaults", "-no-user-config", "-no-reboot"]);
    qemu.args(["-display", "none", "-serial", "stdio", "-smp", &smp.to_string(), "-m", &format!("{memory}M")]);
    qemu.arg("-kernel").arg(&kernel).arg("-initrd").arg(&initrd);
    qemu.args(["-append", "console=ttyS0 quiet panic=-1 rdinit=/bench"]);
    let child = qemu.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot run QEMU")?;
    let mut machine = Ended(child);
    let process = machine.0.id();
    let console = machine.0.stdout.take().context("QEMU has no output")?;
    let mut begun = None;
    let mut printed = Vec::new();
    for line in BufReader::new(console).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).trim_end().to_owned();
        if line.contains(STARTS) {
            begun = Some((Instant::now(), processor_time(process)?.as_secs_f64()));
        }
        if let (Some((_, value)), Some((instant, cpu))) = (line.split_once(ANSWERED), begun) {
            if value != "x".repeat(VALUE) {
                bail!("Redis answers `{value}`");
            }
            let cpu_seconds = processor_time(process)?.as_secs_f64() - cpu;
            return Ok(Spent { seconds: instant.elapsed().as_secs_f64(), cpu_seconds });
        }
        printed.push(line);
    }
    bail!("Redis does not answer:\n{}", printed.join("\n"))
}

/// A process that does not outlive this.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Fetches and unpacks the packages, once. The kernel, and the directory with the others.
fn packages() -> Result<(PathBuf, PathBuf)> {
    let directory = workspace::target_directory().join("bench-linux");
    let (kernel, root) = (directory.join("vmlinuz"), directory.join("root"));
    if kernel.is_file() && root.join("complete").is_file() {
        return Ok((kernel, root));
    }
    let fetched = directory.join("packages");
    if fetched.is_dir() {
        fs::remove_dir_all(&fetched)?;
    }
    fs::create_dir_all(&fetched)?;
    let depends = output(Command::new("apt-cache").args(["depends", KERNEL]))?;
    let image = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-image"));
    let image = format!("linux-image{}", image.with_context(|| format!("{KERNEL} depends on no kernel"))?);
    say(format_args!("fetching {image}, {}", PACKAGES.join(", ")));
    output(Command::new("apt-get").current_dir(&fetched).args(["--quiet", "download", &image]).args(PACKAGES))?;
    let unpacked = directory.join("kernel");
    for entry in fs::read_dir(&fetched)? {
        let package = entry?.path();
        let is_kernel = package.file_name().is_some_and(|name| name.to_string_lossy().starts_with("linux-image"));
        let to = if is_kernel { &unpacked } else { &root };
        output(Command::new("dpkg").arg("-x").arg(&package).arg(to))?;
    }
    let boot: Vec<_> = fs::read_dir(unpacked.join("boot"))?.collect::<Result<_, _>>()?;
    let found = boot.iter().find(|entry| entry.file_name().to_string_lossy().starts_with("vmlinuz"));
    fs::copy(found.context("the kernel's package has no kernel")?.path(), &kernel)?;
    fs::remove_dir_all(unpacked)?;
    fs::remove_dir_all(fetched)?;
    for name in ["usr/share", "var", "etc"] {
        // Nobody reads documentation there.
        let _ = fs::remove_dir_all(root.join(name));
    }
    fs::write(root.join("complete"), "")?;
    Ok((kernel, root))
}

/// What a command prints.
fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {:?}", command.get_program()))?;
    if !output.status.success() {
        bail!("{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The machine's first file system.
fn write_initrd(path: &Path, root: &Path, keys: u64) -> Result<()> {
    let mut archive = Archive::new(BufWriter::new(File::create(path)?));
    archive.tree(root, Path::new(""))?;
    archive.program("bench", SCRIPT.as_bytes())?;
    let mut log = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n".to_vec();
    for number in 0..keys {
        write!(log, "*3\r\n$3\r\nSET\r\n$16\r\n{}\r\n${VALUE}\r\n{}\r\n", key(number), "x".repeat(VALUE))?;
    }
    archive.program("appendonly.aof.1.incr.aof", &log)?;
    archive.program("appendonly.aof.manifest", b"file appendonly.aof.1.incr.aof seq 1 type i\n")?;
    archive.finish()?.flush()?;
    Ok(())
}

/// The machine's first process. Redis says by itself when it is ready; then it is asked once.
const SCRIPT: &str = r#"#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /data/appendonlydir
/bin/busybox mount -t proc none /proc
/bin/busybox mount -t sysfs none /sys
/bin/busybox mount -t devtmpfs none /dev
/bin/busybox mv /appendonly.aof* /data/appendonlydir/
/bin/busybox ip link set lo up 2>/dev/null
/bin/busybox mkfifo /tmp/log
/bin/busybox echo "bench: redis starts"
/usr/bin/redis-server --dir /data --appendonly yes --save "" --unixsocket /tmp/redis --port 0 >/tmp/log 2>&1 &
while read -r line; do
    case "$line" in
    *"eady to accept connections"*)
        value=$(/usr/bin/redis-cli -s /tmp/redis get key:000000000000)
        /bin/busybox echo "bench: redis answered $value"
        ;;
    *) /bin/busybox echo "$line" ;;
    esac
done </tmp/log
/bin/busybox poweroff -f
"#;
