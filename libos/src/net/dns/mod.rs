//! Names to addresses: a stub resolver (RFC 1035, 3596), over whatever carries its datagrams.
//!
//! `message` writes questions and reads answers, whatever bytes they are made of; here is whom to ask, how often, and
//! what to conclude. Questions for both kinds of address go out together. There is no cache: programs that look up much
//! keep their own. Answers that are cut off (TC) are taken for what they hold; TCP is not tried.

mod message;

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;

pub use message::Name;
use message::{Answer, Want};

use crate::instant::Instant;

/// How long a server is waited for, and how often each is asked.
const PATIENCE: Duration = Duration::from_secs(2);
const ROUNDS: usize = 3;
/// The longest answer without extensions (RFC 1035, section 2.3.4) is 512 bytes; servers that send more are heard out.
const MAX_MESSAGE: usize = 1500;

/// Why a name has no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupError {
    /// There is no such name.
    NoName,
    /// The name has no address of the kind that was asked for.
    NoAddress,
    /// No server answered, or none is known.
    TryAgain,
    /// The servers refuse to answer.
    Failed,
}

/// Carries datagrams to and from servers.
pub trait Carrier {
    /// Sends a question to a server; from now on only that server is heard. Whether that was possible.
    fn ask(&mut self, server: SocketAddr, question: &[u8]) -> bool;
    /// Waits for a datagram from the server, but not beyond `deadline`. Its length, or nothing when there will be none.
    fn hear(&mut self, into: &mut [u8], deadline: Instant) -> Option<usize>;
    /// This moment.
    fn now(&self) -> Instant;
    /// A number that nobody can guess.
    fn random(&mut self) -> u16;
}

/// The addresses of a name that needs no server: one in digits, or this machine's own (RFC 6761, section 6.3).
pub fn known(text: &str) -> Option<Vec<IpAddr>> {
    // A scope says which link; there is one.
    let digits = match text.split_once('%') {
        Some((digits, scope)) if scope.parse::<u32>().is_ok() => digits,
        _ => text,
    };
    if let Ok(address) = digits.parse::<IpAddr>()
        && (digits == text || address.is_ipv6())
    {
        return Some([address].into());
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let tail = name.len().checked_sub(9).and_then(|at| name.get(at..)).unwrap_or_default();
    let is_local = tail.eq_ignore_ascii_case("localhost") && (name.len() == 9 || name[..name.len() - 9].ends_with('.'));
    is_local.then(|| [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()].into())
}

/// Asks the servers in turn for the IPv4 and the IPv6 addresses of a name.
pub fn lookup(carrier: &mut impl Carrier, servers: &[SocketAddr], name: &Name) -> Result<Vec<IpAddr>, LookupError> {
    let mut refused = false;
    for _ in 0..ROUNDS {
        for &server in servers {
            match ask(carrier, server, name) {
                Ok(Some(addresses)) => return Ok(addresses),
                Ok(None) => {}
                Err(LookupError::Failed) => refused = true,
                Err(error) => return Err(error),
            }
        }
        if refused {
            break;
        }
    }
    Err(if refused { LookupError::Failed } else { LookupError::TryAgain })
}

/// Asks one server once. `None`: it did not answer, or cannot now.
fn ask(carrier: &mut impl Carrier, server: SocketAddr, name: &Name) -> Result<Option<Vec<IpAddr>>, LookupError> {
    let first = carrier.random();
    let mut open = [(Want::V4, first, None), (Want::V6, first.wrapping_add(1), None)];
    for (want, id, _) in &open {
        if !carrier.ask(server, &message::question(*id, name, *want)) {
            return Ok(None);
        }
    }
    let deadline = carrier.now() + PATIENCE;
    let mut bytes = [0; MAX_MESSAGE];
    while open.iter().any(|(_, _, answer)| answer.is_none()) {
        let Some(len) = carrier.hear(&mut bytes, deadline) else { break };
        for (want, id, answer) in &mut open {
            if answer.is_none() {
                *answer = message::answer(&bytes[..len], *id, name, *want);
            }
        }
    }
    let answers: Vec<Answer> = open.into_iter().filter_map(|(_, _, answer)| answer).collect();
    let addresses: Vec<IpAddr> = answers.iter().flat_map(Answer::addresses).copied().collect();
    let all = answers.len() == 2;
    match () {
        () if !addresses.is_empty() => Ok(Some(addresses)),
        () if answers.contains(&Answer::NoName) => Err(LookupError::NoName),
        () if answers.contains(&Answer::Refused) => Err(LookupError::Failed),
        () if all && !answers.contains(&Answer::Trouble) => Err(LookupError::NoAddress),
        () => Ok(None),
    }
}

#[cfg(test)]
mod tests;
