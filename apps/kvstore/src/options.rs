//! The command line.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
#[cfg(target_os = "hermit")]
use std::os::hermit::ffi::{OsStrExt, OsStringExt};
#[cfg(not(target_os = "hermit"))]
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use pmem::device::{Durability, Protection, ProtectionChoice};

/// What a person can choose.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// The TCP port to listen on; 0 lets the system choose one.
    pub port: u16,
    /// The address to listen on.
    pub bind: IpAddr,
    /// The persistent memory: on the guest a device's name, on the host a file's path.
    pub device: OsString,
    /// The length in bytes that a file is created with, if the choice was made. Only on the host.
    pub size: Option<u64>,
    /// What keeps stray accesses out of the file. Only on the host: a guest's is chosen when it boots.
    pub protection: ProtectionChoice,
    /// What follows a stray access, if the choice was made. Only on the host: a guest's machine is told by its own
    /// command line.
    pub fault_policy: Option<&'static str>,
    /// What acknowledged writes have to survive; none: what they can.
    pub durable: Durability,
    /// Most clients at a time.
    pub clients: usize,
    /// Most bytes that requests and replies of all clients take together, if the choice was made.
    pub client_memory: Option<usize>,
    /// After how many idle seconds a client is closed; 0: never.
    pub timeout: u64,
    /// Whether clients from other machines are refused. Only on the host: all of a guest's clients are on others.
    pub protected_mode: bool,
}

/// What the command line asks for.
#[derive(PartialEq, Eq, Debug)]
pub enum Request {
    /// Run the server.
    Serve(Options),
    /// Print the help.
    Help,
    /// Print the version.
    Version,
}

/// Why the command line cannot be followed.
#[derive(PartialEq, Eq, Debug)]
pub struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether this program runs on the guest.
const GUEST: bool = cfg!(target_os = "hermit");
/// The option that names the persistent memory.
const DEVICE: &str = if GUEST { "--device" } else { "--pmem" };
/// Redis's default.
const CLIENTS: usize = 10_000;
/// Redis's bound, in seconds.
const LONGEST_TIMEOUT: u64 = i32::MAX as u64;
/// With less, not even small requests would be served well.
const LEAST_CLIENT_MEMORY: u64 = 1 << 20;

/// The help.
pub const HELP: &str = if GUEST {
    "\
kvstore: a Redis-protocol store in protected persistent memory

usage: kvstore [--device NAME] [--durable process|power] [--port PORT] [--bind ADDRESS] [--maxclients COUNT]

  --device NAME       the persistent-memory device that holds the pool (default: pmem0)
  --durable process|power
                      what acknowledged writes have to survive: the end of this program, or a loss of power; refused
                      where the platform does not promise it (default: what the device has; INFO says it)
  --port PORT         the TCP port to listen on (default: 6379)
  --bind ADDRESS      the address to listen on (default: 0.0.0.0)
  --maxclients COUNT  most clients at a time (default: 10000)
  --timeout SECONDS   close clients that are idle for so long (default: 0, never)
  --maxmemory-clients SIZE
                      memory for the requests and replies of all clients; a value can have a third of it
                      (default, and at most: 5/12 of what the network and a reserve leave of the machine's memory)
  --help, --version   print this help, or the version
"
} else {
    "\
kvstore: a Redis-protocol store in persistent memory; on this system, in a mapped file

usage: kvstore --pmem FILE [--size SIZE] [--protection auto|pku|none] [--durable process|power] [--port PORT]
               [--bind ADDRESS] [--maxclients COUNT]

  --pmem FILE         the file, or DAX device, that holds the pool; a file is created if it does not exist
  --size SIZE         the length of a file to be created, such as 512M or 1G (default: 1G)
  --protection auto|pku|none
                      keep the file's memory closed by a protection key of the CPU; without one the store is served
                      only with `none` (default: auto, which is pku)
  --durable process|power
                      what acknowledged writes have to survive: the end of the store, or a loss of power; refused where
                      they do not, as in tmpfs (default: what the file's place has; the ready line and INFO say it)
  --fault-policy strict|relaxed
                      what follows a stray access to the closed memory, besides a report: the store ends, or this one
                      access goes through (default: strict; CONFIG SET changes it)
  --port PORT         the TCP port to listen on (default: 6379; 0 chooses a free one)
  --bind ADDRESS      the address to listen on (default: 127.0.0.1)
  --protected-mode yes|no
                      refuse clients from other machines, whatever is listened on: there are no passwords (default: yes)
  --maxclients COUNT  most clients at a time (default: 10000)
  --timeout SECONDS   close clients that are idle for so long (default: 0, never)
  --maxmemory-clients SIZE
                      memory for the requests and replies of all clients; a value can have a third of it
                      (default: 1536M)
  --help, --version   print this help, or the version

A socket that a service manager hands over (LISTEN_FDS) is listened on in place of --bind and --port, and it is told
when the store is ready (NOTIFY_SOCKET). SIGTERM, SIGINT and SIGHUP end the store in good order.
"
};

/// Reads the arguments that follow the program's name. An option's value is the next argument, or follows `=`.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Request, UsageError> {
    let mut options = Options {
        port: 6379,
        bind: if GUEST { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST }.into(),
        device: if GUEST { "pmem0".into() } else { OsString::new() },
        size: None,
        protection: ProtectionChoice::Auto,
        fault_policy: None,
        durable: Durability::None,
        clients: CLIENTS,
        client_memory: None,
        timeout: 0,
        protected_mode: !GUEST,
    };
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let (name, inline) = split(&argument);
        let name = name.as_str();
        match name {
            "--help" | "-h" => return Ok(Request::Help),
            "--version" | "-V" => return Ok(Request::Version),
            _ => {}
        }
        let mut value =
            || inline.clone().or_else(|| arguments.next()).ok_or_else(|| UsageError(format!("{name} needs a value")));
        match name {
            "--port" => options.port = number(name, value()?, "a port number, 0 to 65535")?,
            "--bind" => options.bind = number(name, value()?, "an IP address")?,
            "--maxclients" => {
                options.clients = number(name, value()?, "a number of clients")?;
                if options.clients == 0 {
                    return Err(UsageError(format!("{name} needs a number of clients of at least 1")));
                }
            }
            "--durable" => options.durable = durability(name, value()?)?,
            "--timeout" => {
                options.timeout = number(name, value()?, "a number of seconds")?;
                if options.timeout > LONGEST_TIMEOUT {
                    return Err(UsageError(format!("{name} needs a number of seconds of at most {LONGEST_TIMEOUT}")));
                }
            }
            "--maxmemory-clients" => {
                let bytes = bytes(name, value()?)?.max(LEAST_CLIENT_MEMORY);
                options.client_memory = Some(usize::try_from(bytes).unwrap_or(usize::MAX));
            }
            "--protected-mode" if !GUEST => options.protected_mode = yes_or_no(name, value()?)?,
            "--size" if !GUEST => options.size = Some(bytes(name, value()?)?),
            "--protection" if !GUEST => options.protection = protection(name, value()?)?,
            "--fault-policy" if !GUEST => options.fault_policy = Some(fault_policy(name, value()?)?),
            _ if name == DEVICE => options.device = value()?,
            _ => return Err(UsageError(format!("unknown argument '{}'", argument.to_string_lossy()))),
        }
    }
    if options.device.is_empty() {
        return Err(UsageError(format!("{DEVICE} is missing: where is the data to live?")));
    }
    if options.fault_policy.is_some() && options.protection == Protection::None.into() {
        return Err(UsageError("--fault-policy needs a protection: without one nothing notices stray accesses".into()));
    }
    Ok(Request::Serve(options))
}

/// The name of an option, and the value that follows it behind `=`. A file's name need not be UTF-8, so nothing of the
/// value changes.
fn split(argument: &OsStr) -> (String, Option<OsString>) {
    let bytes = argument.as_bytes();
    match bytes.iter().position(|&byte| byte == b'=') {
        Some(at) if bytes.starts_with(b"--") => {
            (String::from_utf8_lossy(&bytes[..at]).into_owned(), Some(OsString::from_vec(bytes[at + 1..].to_vec())))
        }
        _ => (argument.to_string_lossy().into_owned(), None),
    }
}

fn number<T: std::str::FromStr>(name: &str, value: OsString, what: &str) -> Result<T, UsageError> {
    let value = value.to_string_lossy();
    value.parse().map_err(|_| UsageError(format!("{name} needs {what}, not '{value}'")))
}

fn yes_or_no(name: &str, value: OsString) -> Result<bool, UsageError> {
    match &*value.to_string_lossy() {
        "yes" => Ok(true),
        "no" => Ok(false),
        other => Err(UsageError(format!("{name} needs yes or no, not '{other}'"))),
    }
}

/// The protections that a process can have.
fn protection(name: &str, value: OsString) -> Result<ProtectionChoice, UsageError> {
    let value = value.to_string_lossy();
    match value.parse() {
        Ok(choice) if choice != ProtectionChoice::Only(Protection::Pks) => Ok(choice),
        _ => Err(UsageError(format!("{name} needs auto, pku or none, not '{value}'"))),
    }
}

/// What can be asked for.
fn durability(name: &str, value: OsString) -> Result<Durability, UsageError> {
    match &*value.to_string_lossy() {
        "process" => Ok(Durability::Process),
        "power" => Ok(Durability::Power),
        other => Err(UsageError(format!("{name} needs process or power, not '{other}'"))),
    }
}

/// The policies that a process can have: the thread that has strayed cannot be ended by itself.
fn fault_policy(name: &str, value: OsString) -> Result<&'static str, UsageError> {
    match &*value.to_string_lossy() {
        "strict" => Ok("strict"),
        "relaxed" => Ok("relaxed"),
        other => Err(UsageError(format!("{name} needs strict or relaxed, not '{other}'"))),
    }
}

fn bytes(name: &str, value: OsString) -> Result<u64, UsageError> {
    let value = value.to_string_lossy();
    size(&value).ok_or_else(|| UsageError(format!("{name} needs a length such as 512M or 1G, not '{value}'")))
}

/// A length in bytes: a whole number, in units of 1024 times K, M, G or T. Not 0.
fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(['B', 'i']);
    let (digits, shift) = match digits.char_indices().next_back()? {
        (at, 'K' | 'k') => (&digits[..at], 10),
        (at, 'M' | 'm') => (&digits[..at], 20),
        (at, 'G' | 'g') => (&digits[..at], 30),
        (at, 'T' | 't') => (&digits[..at], 40),
        _ => (digits, 0),
    };
    let number: u64 = digits.parse().ok()?;
    number.checked_mul(1 << shift).filter(|bytes| *bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Request, String> {
        parse(line.split_whitespace().map(OsString::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn options_are_read() {
        let Ok(Request::Serve(options)) =
            parsed("--pmem a=b --port=0 --size 2M --bind ::1 --maxclients 7 --timeout 60 --fault-policy relaxed")
        else {
            panic!("a good command line is refused");
        };
        assert_eq!(options.device, "a=b");
        assert_eq!((options.port, options.size, options.clients), (0, Some(2 << 20), 7));
        assert_eq!((options.timeout, options.protection), (60, ProtectionChoice::Auto));
        assert_eq!((options.fault_policy, options.durable), (Some("relaxed"), Durability::None));
        assert_eq!(options.bind.to_string(), "::1");
        assert_eq!(parsed("--pmem x --help"), Ok(Request::Help));
        for protection in [ProtectionChoice::Auto, Protection::Pku.into(), Protection::None.into()] {
            let Ok(Request::Serve(options)) = parsed(&format!("--pmem x --protection {protection}")) else {
                panic!("{protection} is refused");
            };
            assert_eq!(options.protection, protection);
        }
        for durable in [Durability::Process, Durability::Power] {
            let Ok(Request::Serve(options)) = parsed(&format!("--pmem x --durable {durable}")) else {
                panic!("{durable} is refused");
            };
            assert_eq!(options.durable, durable);
        }
        assert_eq!(parsed("--version"), Ok(Request::Version));
    }

    #[test]
    fn a_file_whose_name_is_no_utf8_is_the_one_that_is_named() {
        let name = |before: &str| OsString::from_vec([before.as_bytes(), b"a\xff=b.img"].concat());
        for arguments in [vec![name("--pmem=")], vec!["--pmem".into(), name("")]] {
            let Ok(Request::Serve(options)) = parse(arguments) else { panic!("it is refused") };
            assert_eq!(options.device, name(""));
        }
        assert_eq!(parse([name("-")]), Err(UsageError("unknown argument '-a\u{fffd}=b.img'".into())));
    }

    #[test]
    fn mistakes_are_named() {
        for (line, error) in [
            ("", "--pmem is missing: where is the data to live?"),
            ("--pmem", "--pmem needs a value"),
            ("--pmem x --port 65536", "--port needs a port number, 0 to 65535, not '65536'"),
            ("--pmem x --bind nowhere", "--bind needs an IP address, not 'nowhere'"),
            ("--pmem x --size 0", "--size needs a length such as 512M or 1G, not '0'"),
            ("--pmem x --maxclients 0", "--maxclients needs a number of clients of at least 1"),
            ("--pmem x --timeout 1m", "--timeout needs a number of seconds, not '1m'"),
            ("--pmem x --timeout 2147483648", "--timeout needs a number of seconds of at most 2147483647"),
            ("--pmem x -p 1", "unknown argument '-p'"),
            ("x", "unknown argument 'x'"),
            ("--pmem x --protection pks", "--protection needs auto, pku or none, not 'pks'"),
            (
                "--pmem x --protection none --fault-policy strict",
                "--fault-policy needs a protection: without one nothing notices stray accesses",
            ),
            ("--pmem x --fault-policy end-thread", "--fault-policy needs strict or relaxed, not 'end-thread'"),
            ("--pmem x --protection off", "--protection needs auto, pku or none, not 'off'"),
            ("--pmem x --durable none", "--durable needs process or power, not 'none'"),
            ("--pmem x --protected-mode off", "--protected-mode needs yes or no, not 'off'"),
        ] {
            assert_eq!(parsed(line), Err(error.into()), "{line}");
        }
    }

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [
            ("4096", Some(4096)),
            ("64K", Some(64 << 10)),
            ("512MiB", Some(512 << 20)),
            ("1G", Some(1 << 30)),
            ("1T", Some(1 << 40)),
            ("", None),
            ("G", None),
            ("-1", None),
            ("99999999999999T", None),
        ] {
            assert_eq!(size(text), bytes, "{text}");
        }
    }
}
