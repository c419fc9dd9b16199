//! What requests mean.
//!
//! ```text
//! POST /entries                 body `AMOUNT MEMO`: adds an entry; its number
//! GET  /entries?from=1&to=100   entries, a line each: number, milliseconds since 1970, amount, memo, with tabs between
//! GET  /entries/7               one entry
//! GET  /summary                 how many entries there are, their sum, the room left, what protects them
//! ```

use std::fmt::Write;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use pmem::Medium;

use crate::http::{Reply, Request};
use crate::log::{Committed, Entry, Error, LONGEST_MEMO, Log};

/// The most entries of one reply.
const MOST_ENTRIES: u64 = 500;
/// What there is, for who asks for something else.
const ROUTES: &str = "there is: POST /entries, GET /entries?from=N&to=N, GET /entries/N, GET /summary";

/// The ledger, for all connections.
#[derive(Debug)]
pub struct Api<M> {
    log: RwLock<Log<M>>,
    protection: String,
}

impl<M: Medium> Api<M> {
    /// Serves this ledger, which `protection` protects.
    pub fn new(log: RwLock<Log<M>>, protection: String) -> Self {
        Self { log, protection }
    }

    /// Does what a request asks for.
    pub fn answer(&self, request: &Request) -> Reply {
        let reply = match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/entries") => self.add(&request.body),
            ("GET", "/entries") => self.list(&request.query),
            ("GET", "/summary") => Ok(self.summary()),
            ("GET", path) if path.starts_with("/entries/") => self.show(&path["/entries/".len()..]),
            (_, "/entries") => Err(not_allowed("GET, POST")),
            (_, path) if path == "/summary" || path.starts_with("/entries/") => Err(not_allowed("GET")),
            (_, path) => Err(Reply::refuse(404, format!("there is no {path}; {ROUTES}"))),
        };
        reply.unwrap_or_else(|refusal| refusal)
    }

    fn add(&self, body: &[u8]) -> Result<Reply, Reply> {
        let (amount, memo) = parse_entry(body)?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let entry = Entry { time: u64::try_from(since.as_millis()).unwrap_or(u64::MAX), amount, memo };
        let committed = self.log.write().unwrap_or_else(PoisonError::into_inner).append(&entry);
        Ok(created(&committed.map_err(|error| failed(&error))?))
    }

    fn show(&self, number: &str) -> Result<Reply, Reply> {
        let number = parse_number(number)?;
        let entries = self.log().read(number, 1).map_err(|error| failed(&error))?;
        match entries.first() {
            Some(entry) => Ok(Reply::new(200, line(number, entry))),
            None => Err(Reply::refuse(404, format!("there is no entry {number}; there are {}", self.log().len()))),
        }
    }

    fn list(&self, query: &str) -> Result<Reply, Reply> {
        let (mut from, mut to) = (1, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("from", number)) => from = parse_number(number)?,
                Some(("to", number)) => to = Some(parse_number(number)?),
                _ => return Err(Reply::refuse(400, format!("`{pair}` means nothing here; write from=1&to=100"))),
            }
        }
        let to = to.unwrap_or(from.saturating_add(MOST_ENTRIES - 1));
        if to < from || to - from >= MOST_ENTRIES {
            return Err(Reply::refuse(400, format!("from {from} to {to} is no range of 1 to {MOST_ENTRIES} entries")));
        }
        let entries = self.log().read(from, to - from + 1).map_err(|error| failed(&error))?;
        Ok(Reply::new(200, (from..).zip(&entries).map(|(number, entry)| line(number, entry)).collect::<String>()))
    }

    fn summary(&self) -> Reply {
        let log = self.log();
        let mut text = String::new();
        for (name, value) in
            [("entries", i128::from(log.len())), ("balance", log.balance()), ("bytes-free", i128::from(log.free()))]
        {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{name}\t{value}");
        }
        text.push_str(&format!("protection\t{}\n", self.protection));
        Reply::new(200, text)
    }

    fn log(&self) -> RwLockReadGuard<'_, Log<M>> {
        self.log.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The acknowledgement of an entry. It takes what only a durable entry leaves.
fn created(committed: &Committed) -> Reply {
    let number = committed.number();
    Reply { header: Some(("Location", format!("/entries/{number}"))), ..Reply::new(201, format!("{number}\n")) }
}

fn line(number: u64, entry: &Entry) -> String {
    format!("{number}\t{}\t{}\t{}\n", entry.time, entry.amount, entry.memo)
}

/// Reads `AMOUNT MEMO`, with or without a newline after it.
fn parse_entry(body: &[u8]) -> Result<(i64, String), Reply> {
    let refuse = |why: &str| Err(Reply::refuse(422, format!("{why}; write an amount and a memo, such as -350 coffee")));
    let Ok(text) = std::str::from_utf8(body) else { return refuse("this is no UTF-8") };
    let text = text.trim_end_matches(['\r', '\n']);
    let (amount, memo) = text.split_once(' ').unwrap_or((text, ""));
    let Ok(amount) = amount.parse() else { return refuse("the amount is no whole number of 64 bits") };
    if memo.len() > LONGEST_MEMO {
        return refuse(&format!("the memo has {} bytes, and may have {LONGEST_MEMO}", memo.len()));
    }
    if memo.chars().any(char::is_control) {
        return refuse("the memo has control characters");
    }
    Ok((amount, memo.to_owned()))
}

fn parse_number(text: &str) -> Result<u64, Reply> {
    let number = text.parse().ok().filter(|&number| number > 0);
    number.ok_or_else(|| Reply::refuse(400, format!("`{text}` is no number of an entry; they count from 1")))
}

fn not_allowed(methods: &str) -> Reply {
    Reply {
        header: Some(("Allow", methods.to_owned())),
        ..Reply::refuse(405, format!("this takes {methods}; {ROUTES}"))
    }
}

fn failed(error: &Error) -> Reply {
    let status = if *error == Error::Full { 507 } else { 500 };
    Reply::refuse(status, error.to_string())
}

#[cfg(test)]
mod tests {
    use pmem::sim::Memory;

    use super::*;

    fn api(bytes: u64) -> Api<Memory> {
        Api::new(RwLock::new(Log::open(Memory::new(bytes)).unwrap()), "none".to_owned())
    }

    fn request(api: &Api<Memory>, method: &str, target: &str, body: &str) -> (u16, String) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let request = Request {
            method: method.into(),
            path: path.into(),
            query: query.into(),
            body: body.into(),
            keep_alive: true,
        };
        let reply = api.answer(&request);
        (reply.status, reply.text)
    }

    #[test]
    fn entries_are_added_and_listed() {
        let api = api(1 << 16);
        assert_eq!(request(&api, "POST", "/entries", "-350 coffee for two\n"), (201, "1\n".into()));
        assert_eq!(request(&api, "POST", "/entries", "1000"), (201, "2\n".into()));
        let (status, text) = request(&api, "GET", "/entries/1", "");
        let fields: Vec<&str> = text.split('\t').collect();
        assert_eq!((status, fields[0], fields[2], fields[3]), (200, "1", "-350", "coffee for two\n"));
        let (_, text) = request(&api, "GET", "/entries", "");
        assert_eq!(text.lines().count(), 2);
        let (_, text) = request(&api, "GET", "/entries?from=2&to=2", "");
        assert!(text.starts_with("2\t") && text.ends_with("\t1000\t\n") && text.lines().count() == 1, "{text}");
        let (_, text) = request(&api, "GET", "/summary", "");
        assert!(text.starts_with("entries\t2\nbalance\t650\nbytes-free\t"), "{text}");
    }

    #[test]
    fn what_is_wrong_is_refused_with_a_reason_and_changes_nothing() {
        let api = api(1 << 16);
        let long = format!("1 {}", "x".repeat(257));
        for (method, target, body, status, word) in [
            ("POST", "/entries", "", 422, "amount"),
            ("POST", "/entries", "much coffee", 422, "amount"),
            ("POST", "/entries", "9223372036854775808 x", 422, "64 bits"),
            ("POST", "/entries", "1 a\nb", 422, "control"),
            ("POST", "/entries", &long, 422, "257 bytes"),
            ("GET", "/entries/0", "", 400, "count from 1"),
            ("GET", "/entries/x", "", 400, "`x`"),
            ("GET", "/entries/1", "", 404, "no entry 1"),
            ("GET", "/entries?from=5&to=4", "", 400, "no range"),
            ("GET", "/entries?from=1&to=501", "", 400, "no range"),
            ("GET", "/entries?since=1", "", 400, "`since=1`"),
            ("DELETE", "/entries", "", 405, "GET, POST"),
            ("POST", "/summary", "", 405, "GET"),
            ("GET", "/", "", 404, "there is: POST /entries"),
        ] {
            let (found, text) = request(&api, method, target, body);
            assert!(found == status && text.contains(word), "{method} {target}: {found} {text}");
        }
        assert_eq!(api.log().len(), 0);
    }

    #[test]
    fn a_full_ledger_refuses_by_507_and_still_answers() {
        let api = api(128);
        assert_eq!(request(&api, "POST", "/entries", "1 x").0, 201);
        assert_eq!(request(&api, "POST", "/entries", "1 x"), (507, "the ledger is full\n".into()));
        assert_eq!(request(&api, "GET", "/entries/1", "").0, 200);
    }
}
