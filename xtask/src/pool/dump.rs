//! `pool dump` and `pool load`: a pool's keys and values as lines of text, and back.
//!
//! A line of JSON is one key: `{"key":"k","value":"v","expires_at_ms":1700000000000}`. Bytes that are no UTF-8 are
//! written as `{"hex":"ff00"}`. A value that is no string has its type too, by its name or its number:
//! `"type":"hash"`. The last line says that it is the last: `{"end":true,"keys":601,"unreadable":0}`, as
//! text
//! `end of the dump: 601 keys, 0 unreadable`. In a pipe from `dump` to `load` nothing else tells that `dump` has
//! failed.

use std::io::{BufRead, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use pmem::{Device, Medium, Meta, Op, Pool, ValueType};
use serde_json::{Value, json};

use crate::output::warn;

/// How many keys one turn of a load puts.
const TURN: usize = 64;

/// Writes every key of an image with its value to `out`. Returns the number of keys, and of those that are not
/// readable, which are named on the standard error. The image is only read.
///
/// # Errors
/// When the image holds no pool, or `out` takes no more.
pub fn dump(path: &Path, json: bool, out: &mut impl Write) -> Result<(u64, u64)> {
    // Opening a pool writes to it. That stays in this process.
    let device = Device::open_copy_on_write(super::image(path)?)?;
    let mut pool = Pool::open_copy(device).map_err(|error| super::no_pool(path, error))?;
    let (mut keys, mut unreadable) = (0, 0);
    let mut cursor = 0;
    loop {
        let mut found = Vec::new();
        cursor = pool.turn(|turn| turn.scan(cursor, 1000, |key, _| found.push(key.to_vec())))?.0?;
        for key in found {
            let mut value = Vec::new();
            keys += 1;
            match pool.turn(|turn| turn.get(&key, &mut value))?.0 {
                Ok(Some(meta)) => line(&key, &value, meta, json, out)?,
                Ok(None) => bail!("the key {} was there and is not any more", key.escape_ascii()),
                Err(error) => {
                    unreadable += 1;
                    warn(format_args!("{}: {error}", key.escape_ascii()));
                }
            }
        }
        if cursor == 0 {
            let written = keys - unreadable;
            match json {
                true => writeln!(out, "{}", json!({ "end": true, "keys": written, "unreadable": unreadable }))?,
                false => writeln!(out, "end of the dump: {written} keys, {unreadable} unreadable")?,
            }
            return Ok((keys, unreadable));
        }
    }
}

fn line(key: &[u8], value: &[u8], meta: Meta, json: bool, out: &mut impl Write) -> Result<()> {
    if json {
        let mut object = json!({ "key": encode(key), "value": encode(value) });
        match meta.value_type.name() {
            _ if meta.value_type == ValueType::STRING => {}
            Some(name) => object["type"] = json!(name),
            None => object["type"] = json!(meta.value_type.number()),
        }
        if let Some(expires_at_ms) = meta.expires_at_ms {
            object["expires_at_ms"] = json!(expires_at_ms);
        }
        writeln!(out, "{object}")?;
    } else {
        write!(out, "{} = {}", key.escape_ascii(), value.escape_ascii())?;
        if meta.value_type != ValueType::STRING {
            write!(out, "  ({})", meta.value_type)?;
        }
        match meta.expires_at_ms {
            Some(at) => writeln!(out, "  (expires {at} ms after 1970)")?,
            None => writeln!(out)?,
        }
    }
    Ok(())
}

/// Puts the keys that the lines of JSON from `lines` name into the pool of an image. Returns their number.
///
/// # Errors
/// When the image holds no pool, a line is not as [`dump`] writes it, the last one is missing, keys were unreadable
/// when it was made, or the pool takes no more. What was put before stays.
pub fn load(path: &Path, lines: impl BufRead) -> Result<u64> {
    let device = Device::open(super::image(path)?)?;
    let mut pool = Pool::open(device).map_err(|error| super::no_pool(path, error))?;
    let mut put = 0;
    let loaded = load_lines(&mut pool, lines, &mut put);
    loaded.with_context(|| format!("the load stopped; {put} keys were put before that, and stay"))?;
    pool.close()?;
    Ok(put)
}

/// Puts what the lines say up to the dump's end, and counts in `put` what is durable.
fn load_lines<M: Medium>(pool: &mut Pool<M>, lines: impl BufRead, put: &mut u64) -> Result<()> {
    let mut waiting = Vec::with_capacity(TURN);
    let mut commit = |waiting: &mut Vec<Entry>| -> Result<()> {
        let (result, _durable) =
            pool.turn(|turn| waiting.iter().try_for_each(|entry| turn.atomically(&[entry.put()])))?;
        result?;
        *put += waiting.len() as u64;
        waiting.clear();
        Ok(())
    };
    let mut end = None;
    for (number, line) in lines.lines().enumerate() {
        let line = line.with_context(|| format!("cannot read line {}", number + 1))?;
        if line.trim().is_empty() {
            continue;
        }
        if end.is_some() {
            bail!("line {} follows the end of the dump: {}", number + 1, shorten(&line));
        }
        let parsed = Line::parse(&line).with_context(|| {
            format!("line {} is no key as `pool dump --json` writes it: {}", number + 1, shorten(&line))
        })?;
        match parsed {
            Line::Key(entry) => waiting.push(entry),
            Line::End(said) => end = Some(said),
        }
        if waiting.len() == TURN {
            commit(&mut waiting)?;
        }
    }
    commit(&mut waiting)?;
    End::check(end, *put)
}

/// What a line of a dump is.
enum Line {
    Key(Entry),
    End(End),
}

impl Line {
    fn parse(line: &str) -> Result<Self> {
        let object: Value = serde_json::from_str(line)?;
        if object["end"] != json!(true) {
            return Entry::parse(&object).map(Self::Key);
        }
        let number = |name: &str| object[name].as_u64().with_context(|| format!("`{name}` is no number"));
        Ok(Self::End(End { keys: number("keys")?, unreadable: number("unreadable")? }))
    }
}

/// What the last line of a dump says.
struct End {
    keys: u64,
    unreadable: u64,
}

impl End {
    /// Looks whether `put` keys are all that there were.
    fn check(end: Option<Self>, put: u64) -> Result<()> {
        match end {
            None => bail!(
                "the last line does not say that it is the end: the dump broke off, and there may have been more keys; \
                 make it anew (one of an older version has no such line: if it is known to be whole, add \
                 {{\"end\":true,\"keys\":{put},\"unreadable\":0}})"
            ),
            Some(end) if end.keys != put => {
                bail!("the dump says that it has {} keys: some lines are missing", end.keys)
            }
            Some(end) if end.unreadable > 0 => {
                bail!("that is all of the dump, which lacks {} keys that could not be read", end.unreadable)
            }
            Some(_) => Ok(()),
        }
    }
}

/// A key to put.
struct Entry {
    key: Vec<u8>,
    value: Vec<u8>,
    value_type: ValueType,
    expires_at_ms: Option<u64>,
}

impl Entry {
    fn put(&self) -> Op<'_> {
        let Self { key, value, value_type, expires_at_ms } = self;
        Op::Put { key, value, value_type: *value_type, expires_at_ms: *expires_at_ms }
    }

    fn parse(object: &Value) -> Result<Entry> {
        let expires_at_ms = match &object["expires_at_ms"] {
            Value::Null => None,
            number => Some(number.as_u64().context("`expires_at_ms` is no number of milliseconds")?),
        };
        let value_type = match &object["type"] {
            Value::Null => Some(ValueType::STRING),
            Value::String(name) => ValueType::of_name(name),
            number => number.as_u64().and_then(|number| u8::try_from(number).ok()).map(ValueType::new),
        };
        Ok(Entry {
            key: decode(&object["key"]).context("`key`")?,
            value: decode(&object["value"]).context("`value`")?,
            value_type: value_type.context("`type` is neither the name of a type nor its number")?,
            expires_at_ms,
        })
    }
}

fn shorten(line: &str) -> String {
    line.chars().take(60).collect()
}

/// Bytes as JSON.
pub(super) fn encode(bytes: &[u8]) -> Value {
    match str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!({ "hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() }),
    }
}

fn decode(value: &Value) -> Result<Vec<u8>> {
    if let Some(text) = value.as_str() {
        return Ok(text.into());
    }
    let hex = value["hex"].as_str().context("is neither a string nor an object with `hex`")?;
    if !hex.len().is_multiple_of(2) || !hex.is_ascii() {
        bail!("`{}` is no pairs of hexadecimal digits", shorten(hex));
    }
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).context("is not hexadecimal");
    (0..hex.len()).step_by(2).map(byte).collect()
}
