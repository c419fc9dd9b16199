//! Redis on Linux in a machine: Debian's kernel and packages, nothing installed on this computer.
//!
//! The machine's first file system has Redis, the libraries that it needs, and an append-only log of the keys, all in
//! RAM: no disk slows Redis down. Time begins when Linux is up and Redis is started.

use std::time::Instant;

use anyhow::{Result, bail};

use super::{Spent, VALUE};
use crate::linux::{Hardware, Initrd, Machine, redis};
use crate::processor_time::processor_time;
use crate::resp::{key, set};
use crate::size::MIB;

/// What is printed right before Redis starts, and when it has answered.
const STARTS: &str = "bench: redis starts";
/// See [`STARTS`].
const ANSWERED: &str = "bench: redis answered ";

/// Starts Linux, and in it Redis with a log of so many keys. From Redis's start to its first answer.
///
/// # Errors
/// When packages cannot be fetched, or Redis does not answer.
pub fn measure(keys: u64, smp: u32) -> Result<Spent> {
    let log = (keys * (VALUE as u64 + 60)).next_multiple_of(MIB);
    let memory = 512 * MIB + log + keys * 256;
    let hardware = Hardware { smp, memory, ..Hardware::default() };
    let mut machine = Machine::start(&hardware, &initrd(keys)?, SCRIPT)?;
    let mut begun = None;
    let mut printed = Vec::new();
    while let Some(line) = machine.next_line()? {
        if line.contains(STARTS) {
            begun = Some((Instant::now(), processor_time(machine.process())?.as_secs_f64()));
        }
        if let (Some((_, value)), Some((instant, cpu))) = (line.split_once(ANSWERED), begun) {
            if value != "x".repeat(VALUE) {
                bail!("Redis answers `{value}`");
            }
            let cpu_seconds = processor_time(machine.process())?.as_secs_f64() - cpu;
            return Ok(Spent { seconds: instant.elapsed().as_secs_f64(), cpu_seconds });
        }
        printed.push(line);
    }
    bail!("Redis does not answer:\n{}", printed.join("\n"))
}

/// The machine's first file system.
fn initrd(keys: u64) -> Result<Initrd> {
    let mut initrd = Initrd::new()?;
    initrd.tree(redis()?);
    let mut log = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n".to_vec();
    let value = "x".repeat(VALUE);
    for number in 0..keys {
        log.extend(set(&key(number), &value).into_bytes());
    }
    initrd.bytes("/data/appendonlydir/appendonly.aof.1.incr.aof", log);
    initrd
        .bytes("/data/appendonlydir/appendonly.aof.manifest", b"file appendonly.aof.1.incr.aof seq 1 type i\n".into());
    Ok(initrd)
}

/// What the machine does. Redis says by itself when it is ready; then it is asked once.
const SCRIPT: &str = r#"mkfifo /tmp/log
echo "bench: redis starts"
/usr/bin/redis-server --dir /data --appendonly yes --save "" --unixsocket /tmp/redis --port 0 >/tmp/log 2>&1 &
while read -r line; do
    case "$line" in
    *"eady to accept connections"*)
        value=$(/usr/bin/redis-cli -s /tmp/redis get key:000000000000)
        echo "bench: redis answered $value"
        ;;
    *) echo "$line" ;;
    esac
done </tmp/log
"#;
