//! The command line.

use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

/// What a person can choose.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// The persistent memory: on the guest a device's name, on the host a file's path.
    pub pmem: OsString,
    /// The address to listen on.
    pub bind: IpAddr,
    /// The TCP port to listen on; 0 lets the system choose one.
    pub port: u16,
}

/// Whether this program runs on the guest.
const GUEST: bool = cfg!(target_os = "hermit");

/// The help.
pub const HELP: &str = "\
ledger: an append-only ledger in persistent memory, served over HTTP

usage: ledger [--pmem NAME] [--port PORT] [--bind ADDRESS]

  --pmem NAME     on the guest a device (default: pmem0); on the host a file, made with 64 MiB if it does not exist
  --port PORT     the TCP port to listen on (default: 8080; 0 chooses a free one)
  --bind ADDRESS  the address to listen on (default: on the guest 0.0.0.0, on the host 127.0.0.1)
  --help          print this help
";

/// Reads the arguments that follow the program's name; `None` asks for the help.
pub fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Option<Options>, String> {
    let bind = if GUEST { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
    let mut options = Options { pmem: OsString::new(), bind: bind.into(), port: 8080 };
    if GUEST {
        options.pmem = "pmem0".into();
    }
    while let Some(name) = arguments.next() {
        let name = name.to_string_lossy().into_owned();
        let mut value = || arguments.next().ok_or_else(|| format!("{name} needs a value"));
        match name.as_str() {
            "--help" | "-h" => return Ok(None),
            "--pmem" => options.pmem = value()?,
            "--bind" => options.bind = read(&name, &value()?, "an IP address")?,
            "--port" => options.port = read(&name, &value()?, "a port number, 0 to 65535")?,
            _ => return Err(format!("unknown argument '{name}'")),
        }
    }
    if options.pmem.is_empty() {
        return Err("--pmem is missing: where is the ledger to live?".to_owned());
    }
    Ok(Some(options))
}

fn read<T: FromStr>(name: &str, value: &OsStr, what: &str) -> Result<T, String> {
    let value = value.to_string_lossy();
    value.parse().map_err(|_| format!("{name} needs {what}, not '{value}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Option<Options>, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn options_are_read_and_mistakes_are_named() {
        let options = parsed("--pmem file --port 0 --bind ::1").unwrap().unwrap();
        assert_eq!((options.pmem, options.port, options.bind.to_string().as_str()), ("file".into(), 0, "::1"));
        assert_eq!(parsed("--help"), Ok(None));
        let default = parsed("").map(|options| options.unwrap().pmem);
        if cfg!(target_os = "hermit") {
            assert_eq!(default.unwrap(), "pmem0");
        } else {
            assert!(default.unwrap_err().contains("--pmem is missing"));
        }
        for (line, word) in [
            ("--pmem", "--pmem needs a value"),
            ("--pmem f --port 70000", "70000"),
            ("--pmem f --bind nowhere", "nowhere"),
            ("file", "'file'"),
        ] {
            assert!(parsed(line).unwrap_err().contains(word), "{line}");
        }
    }
}
