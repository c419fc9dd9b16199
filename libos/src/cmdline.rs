//! The kernel command line: what the person who boots the image decides.
//!
//! ```text
//! protection=CHOICE  fault-policy=POLICY  paging=auto|4|5  log=warn|info|debug
//! ip=dhcp|ADDRESS/PREFIX,GATEWAY[,DNS]  ip6=auto|off|ADDRESS/PREFIX[,GATEWAY]  dns=SERVER[:PORT][,…]
//! name=NAME  env.KEY=VALUE … -- ARG …
//! ```
//!
//! Builds for tests (feature `testing`) know `link-faults=drop:N,duplicate:N,reorder:N,seed:N` too.
//!
//! How words are written, and what the host writes too, is in [`libos_contract::command_line`]; choices are in
//! [`libos_contract::protection`], policies in [`libos_contract::policy`], levels in [`libos_contract::log_level`]. A
//! word that is not understood stops the boot: a misspelt protection must not go unnoticed.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::str::FromStr;

use libos_contract::command_line::{self, ARGUMENTS, ENVIRONMENT, FAULT_POLICY, IP, LOG, Malformed, NAME, PROTECTION};
use libos_contract::log_level::LogLevel;
use libos_contract::words::Unknown;

use crate::arch::paging::Paging;
use crate::keys::{FaultPolicy, ProtectionChoice};
use crate::net::{Config, Ip6Config, IpConfig, impossible_host};

/// The decoded command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// What is to guard persistent memory.
    pub protection: ProtectionChoice,
    /// What a stray access leads to, until the program changes it.
    pub fault_policy: FaultPolicy,
    /// How much the library says.
    pub log: LogLevel,
    /// The levels of the page tables.
    pub paging: Paging,
    /// The network.
    pub net: Config,
    /// The program's name, its `argv[0]`.
    pub name: String,
    /// The program's environment, each `KEY=VALUE`.
    pub environment: Vec<String>,
    /// The program's arguments after its name.
    pub arguments: Vec<String>,
}

/// A word of the command line that was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CmdlineError {
    word: String,
    expected: String,
}

impl fmt::Display for CmdlineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command line: '{}' is not understood; expected {}", self.word, self.expected)
    }
}

/// Parses a command line.
pub fn parse(line: &str) -> Result<Options, CmdlineError> {
    let mut options = Options { name: "program".to_string(), ..Options::default() };
    let mut words = line.split_ascii_whitespace();
    for word in words.by_ref() {
        if word == ARGUMENTS {
            break;
        }
        parse_option(word, &mut options)?;
    }
    for word in words {
        options.arguments.push(decode(word)?);
    }
    Ok(options)
}

fn parse_option(word: &str, options: &mut Options) -> Result<(), CmdlineError> {
    let error = |expected: &str| CmdlineError { word: word.to_string(), expected: expected.to_string() };
    let (key, value) = word.split_once('=').ok_or_else(|| error("KEY=VALUE, or -- before the program's arguments"))?;
    match key {
        PROTECTION => options.protection = choice(word, key, value)?,
        FAULT_POLICY => options.fault_policy = choice(word, key, value)?,
        LOG => options.log = choice(word, key, value)?,
        "paging" => {
            options.paging = parse_paging(value).ok_or_else(|| error("paging=auto, paging=4 or paging=5"))?;
        }
        IP => {
            options.net.ip = parse_ip(value).ok_or_else(|| error("ip=dhcp or ip=ADDRESS/PREFIX,GATEWAY[,DNS]"))?;
        }
        "ip6" => {
            options.net.ip6 =
                parse_ip6(value).ok_or_else(|| error("ip6=auto, ip6=off or ip6=ADDRESS/PREFIX[,GATEWAY]"))?;
        }
        "dns" => {
            let servers: Option<_> = value.split(',').map(parse_server).collect();
            options.net.dns =
                servers.ok_or_else(|| error("dns=SERVER[:PORT], or several of them with commas between"))?;
        }
        #[cfg(feature = "testing")]
        "link-faults" => {
            let expected = "link-faults=drop:N,duplicate:N,reorder:N,seed:N, each of 1000 frames";
            options.net.link_faults = Some(value.parse().map_err(|_| error(expected))?);
        }
        NAME => options.name = decode(value)?,
        _ if key.len() > ENVIRONMENT.len() && key.starts_with(ENVIRONMENT) => {
            options.environment.push(decode(&word[ENVIRONMENT.len()..])?);
        }
        _ => {
            let for_tests = if cfg!(feature = "testing") { "link-faults=, " } else { "" };
            return Err(error(&format!(
                "protection=, fault-policy=, log=, paging=, ip=, ip6=, dns=, {for_tests}name= or env.KEY="
            )));
        }
    }
    Ok(())
}

/// One of the choices that there are.
fn choice<T: FromStr<Err = Unknown<T>> + fmt::Display + 'static>(
    word: &str,
    key: &str,
    value: &str,
) -> Result<T, CmdlineError> {
    let error = |unknown: Unknown<T>| CmdlineError {
        word: word.to_string(),
        expected: format!("{key}={}", unknown.expected()),
    };
    value.parse().map_err(error)
}

fn parse_paging(value: &str) -> Option<Paging> {
    match value {
        "auto" => Some(Paging::Auto),
        "4" => Some(Paging::Four),
        "5" => Some(Paging::Five),
        _ => None,
    }
}

/// What a command line says about page tables, which the boot has to know before there is a heap. A word that is not
/// understood says nothing here; [`parse`] refuses it.
pub fn paging(line: &str) -> Paging {
    let options = line.split_ascii_whitespace().take_while(|&word| word != ARGUMENTS);
    options.filter_map(|word| parse_paging(word.strip_prefix("paging=")?)).last().unwrap_or_default()
}

fn parse_ip(value: &str) -> Option<IpConfig> {
    if value == "dhcp" {
        return Some(IpConfig::Dhcp);
    }
    let mut parts = value.split(',');
    let (address, prefix) = parts.next()?.split_once('/')?;
    let prefix_len: u8 = prefix.parse().ok().filter(|&n| n <= 32)?;
    let host = |text: &str| text.parse().ok().filter(|&host| impossible_host(host, prefix_len).is_none());
    let gateway = host(parts.next()?)?;
    let dns = parts.next().map(|dns| dns.parse().map_err(|_| ())).transpose().ok()?;
    if parts.next().is_some() {
        return None;
    }
    Some(IpConfig::Static { address: host(address)?, prefix_len, gateway, dns })
}

/// An address that something on the interface can have as its own.
fn is_usable(address: &Ipv6Addr) -> bool {
    !address.is_multicast() && !address.is_unspecified() && !address.is_loopback()
}

fn parse_ip6(value: &str) -> Option<Ip6Config> {
    match value {
        "auto" => return Some(Ip6Config::Auto),
        "off" => return Some(Ip6Config::Off),
        _ => {}
    }
    let (network, gateway) = match value.split_once(',') {
        Some((network, gateway)) => (network, Some(gateway.parse().ok().filter(is_usable)?)),
        None => (value, None),
    };
    let (address, prefix) = network.split_once('/')?;
    let prefix_len: u8 = prefix.parse().ok().filter(|&n| n <= 128)?;
    Some(Ip6Config::Static { address: address.parse().ok().filter(is_usable)?, prefix_len, gateway })
}

/// A name server; without a port at the usual one.
fn parse_server(value: &str) -> Option<SocketAddr> {
    let with_port = || value.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 53));
    let server = value.parse::<SocketAddr>().ok().or_else(with_port)?;
    (server.port() != 0 && !server.ip().is_multicast()).then_some(server)
}

/// A word as whoever boots the image meant it.
fn decode(word: &str) -> Result<String, CmdlineError> {
    command_line::decode(word)
        .map_err(|error: Malformed| CmdlineError { word: word.to_string(), expected: error.to_string() })
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;
    use crate::keys::Protection;

    #[test]
    fn an_empty_line_means_protection_and_dhcp() {
        let options = parse("").unwrap();
        assert_eq!(options.protection, ProtectionChoice::Auto);
        assert_eq!(options.fault_policy, FaultPolicy::Strict);
        assert_eq!(options.net.ip, IpConfig::Dhcp);
        assert!(options.arguments.is_empty());
    }

    #[test]
    fn every_option_is_read() {
        let line = "protection=none fault-policy=end-thread log=debug ip=10.0.2.15/24,10.0.2.2,10.0.2.3 name=kv env.A=b%20c -- --port 1%25";
        let options = parse(line).unwrap();
        assert_eq!(options.protection, ProtectionChoice::Only(Protection::None));
        assert_eq!(options.fault_policy, FaultPolicy::EndThread);
        assert_eq!(options.log, LogLevel::Debug);
        assert_eq!(
            options.net.ip,
            IpConfig::Static {
                address: Ipv4Addr::new(10, 0, 2, 15),
                prefix_len: 24,
                gateway: Ipv4Addr::new(10, 0, 2, 2),
                dns: Some(Ipv4Addr::new(10, 0, 2, 3)),
            }
        );
        assert_eq!(options.name, "kv");
        assert_eq!(options.environment, ["A=b c"]);
        assert_eq!(options.arguments, ["--port", "1%"]);
    }

    #[test]
    fn ipv6_and_name_servers_are_read() {
        let options = parse("ip6=fec0::15/64,fe80::2 dns=10.0.2.3,[fec0::3]:5353,::1").unwrap();
        let (address, gateway) = ("fec0::15".parse().unwrap(), Some("fe80::2".parse().unwrap()));
        assert_eq!(options.net.ip6, Ip6Config::Static { address, prefix_len: 64, gateway });
        let servers: Vec<_> = options.net.dns.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.0.2.3:53", "[fec0::3]:5353", "[::1]:53"]);
        assert_eq!(parse("ip6=off").unwrap().net.ip6, Ip6Config::Off);
        assert_eq!(parse("").unwrap().net.ip6, Ip6Config::Auto);
    }

    #[test]
    fn the_levels_of_page_tables_are_read_before_there_is_a_heap_and_after() {
        for (line, expected) in [
            ("", Paging::Auto),
            ("ip=dhcp paging=5 -- paging=4", Paging::Five),
            ("paging=5 paging=4", Paging::Four),
            ("paging=5 paging=auto", Paging::Auto),
        ] {
            assert_eq!(paging(line), expected);
            assert_eq!(parse(line).unwrap().paging, expected);
        }
    }

    #[test]
    fn a_misspelt_option_is_an_error_that_names_it() {
        for line in [
            "protection=pkz",
            "protect=pks",
            "quiet",
            "ip=10.0.2.15",
            "ip=10.0.2.15/33,10.0.2.2",
            "ip=a/8,b",
            "ip=127.0.0.1/8,10.0.2.2",
            "ip=224.0.0.1/24,10.0.2.2",
            "ip=10.0.2.255/24,10.0.2.2",
            "ip=10.0.2.15/24,10.0.2.0",
            "ip6=on",
            "ip6=fec0::15",
            "ip6=fec0::15/129",
            "ip6=::1/128",
            "ip6=fec0::15/64,ff02::1",
            "dns=",
            "dns=10.0.2.3:0",
            "dns=10.0.2.3,name.example",
            "name=%0",
            "name=%00",
            "fault-policy=lax",
            "log=all",
            "paging=3",
            "env.=x%zz",
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.to_string().contains(line.split('=').next().unwrap()) || line.contains('%'), "{error}");
        }
    }

    #[cfg(not(feature = "testing"))]
    #[test]
    fn what_only_tests_ask_for_is_not_understood_by_other_builds() {
        let error = parse("link-faults=drop:20").unwrap_err();
        assert_eq!((error.word.as_str(), error.expected.contains("link-faults")), ("link-faults=drop:20", false));
    }
}
