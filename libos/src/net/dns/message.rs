//! Questions and answers of the Domain Name System, byte by byte.
//!
//! smoltcp's `wire` reads the records, and follows compressed names backwards only, so that loops end. Every answer is
//! hostile until it has the number, the question and the form that were expected; what has not is no answer.

use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

use smoltcp::wire::{
    DnsFlags, DnsOpcode, DnsPacket, DnsQueryType, DnsQuestion, DnsRcode, DnsRecord, DnsRecordData, DnsRepr,
};

/// Aliases of aliases that are followed.
const MAX_ALIASES: usize = 16;
/// Records of an answer that are looked at.
const MAX_RECORDS: usize = 64;
/// The longest name, in its form in messages.
const MAX_NAME: usize = 255;
const MAX_LABEL: usize = 63;

/// A domain name in the form that messages have, in small letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(Vec<u8>);

impl Name {
    /// Reads a name as people write it. `None`: no host can be called that.
    pub fn new(text: &str) -> Option<Self> {
        let mut wire = Vec::new();
        for label in text.strip_suffix('.').unwrap_or(text).split('.') {
            let fits = (1..=MAX_LABEL).contains(&label.len());
            let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
            if !fits || !plain {
                return None;
            }
            wire.push(label.len() as u8);
            wire.extend(label.bytes().map(|byte| byte.to_ascii_lowercase()));
        }
        wire.push(0);
        (wire.len() <= MAX_NAME).then_some(Self(wire))
    }

    /// Reads a name of a message, which may be compressed.
    fn read(packet: &DnsPacket<&[u8]>, bytes: &[u8]) -> Option<Self> {
        let mut wire = Vec::new();
        for label in packet.parse_name(bytes) {
            let label = label.ok()?;
            wire.push(label.len() as u8);
            wire.extend(label.iter().map(u8::to_ascii_lowercase));
            if wire.len() >= MAX_NAME {
                return None;
            }
        }
        wire.push(0);
        Some(Self(wire))
    }
}

/// The kind of address that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// An A record.
    V4,
    /// An AAAA record.
    V6,
}

impl Want {
    fn kind(self) -> DnsQueryType {
        match self {
            Self::V4 => DnsQueryType::A,
            Self::V6 => DnsQueryType::Aaaa,
        }
    }
}

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The name's addresses of the kind that was asked for; there may be none.
    Addresses(Vec<IpAddr>),
    /// There is no such name.
    NoName,
    /// The server will not say.
    Refused,
    /// The server cannot say now.
    Trouble,
}

impl Answer {
    /// The addresses.
    pub fn addresses(&self) -> &[IpAddr] {
        match self {
            Self::Addresses(addresses) => addresses,
            _ => &[],
        }
    }
}

/// A question, ready to be sent.
pub fn question(id: u16, name: &Name, want: Want) -> Vec<u8> {
    let repr = DnsRepr {
        transaction_id: id,
        opcode: DnsOpcode::Query,
        flags: DnsFlags::RECURSION_DESIRED,
        question: DnsQuestion { name: &name.0, type_: want.kind() },
    };
    let mut bytes = vec![0; repr.buffer_len()];
    repr.emit(&mut DnsPacket::new_unchecked(&mut bytes[..]));
    bytes
}

/// Reads the answer to that question. `None`: these bytes are not the answer to it.
pub fn answer(bytes: &[u8], id: u16, name: &Name, want: Want) -> Option<Answer> {
    let packet = DnsPacket::new_checked(bytes).ok()?;
    let expected = packet.transaction_id() == id
        && packet.flags().contains(DnsFlags::RESPONSE)
        && packet.opcode() == DnsOpcode::Query
        && packet.question_count() == 1;
    if !expected {
        return None;
    }
    let (mut rest, question) = DnsQuestion::parse(packet.payload()).ok()?;
    if question.type_ != want.kind() || Name::read(&packet, question.name)? != *name {
        return None;
    }
    match packet.rcode() {
        DnsRcode::NoError => {}
        DnsRcode::NXDomain => return Some(Answer::NoName),
        DnsRcode::Refused | DnsRcode::NotImp | DnsRcode::FormErr => return Some(Answer::Refused),
        _ => return Some(Answer::Trouble),
    }
    let mut records = Vec::new();
    for _ in 0..usize::from(packet.answer_record_count()).min(MAX_RECORDS) {
        // An answer that was cut off ends where it ends.
        let Ok((after, record)) = DnsRecord::parse(rest) else {
            if packet.flags().contains(DnsFlags::TRUNCATED) {
                break;
            }
            return None;
        };
        rest = after;
        records.push((Name::read(&packet, record.name)?, record.data));
    }
    addresses(&packet, &records, name).map(Answer::Addresses)
}

/// The addresses of a name among the records, by way of its aliases.
fn addresses(packet: &DnsPacket<&[u8]>, records: &[(Name, DnsRecordData<'_>)], name: &Name) -> Option<Vec<IpAddr>> {
    let mut name = name.clone();
    for _ in 0..MAX_ALIASES {
        let of_name = || records.iter().filter(|(of, _)| *of == name).map(|(_, data)| data);
        let found: Vec<IpAddr> = of_name()
            .filter_map(|data| match data {
                DnsRecordData::A(address) => Some(IpAddr::V4(*address)),
                DnsRecordData::Aaaa(address) => Some(IpAddr::V6(*address)),
                _ => None,
            })
            .collect();
        let alias = of_name().find_map(|data| match data {
            DnsRecordData::Cname(alias) => Some(*alias),
            _ => None,
        });
        match alias {
            Some(alias) if found.is_empty() => name = Name::read(packet, alias)?,
            _ => return Some(found),
        }
    }
    Some(Vec::new())
}
