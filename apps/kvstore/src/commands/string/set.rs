//! `SET` in all its forms, and `GETEX`: commands that take an expiry.

use pmem::Medium;

use crate::commands::arguments::{RequestOptions, integer, is};
use crate::commands::failure::{Failure, Outcome, SYNTAX};
use crate::commands::{Context, Request};

/// How an expiry is given.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Seconds,
    Millis,
    SecondsAt,
    MillisAt,
}

impl Unit {
    fn parse(option: &[u8]) -> Option<Self> {
        const UNITS: [(&str, Unit); 4] =
            [("EX", Unit::Seconds), ("PX", Unit::Millis), ("EXAT", Unit::SecondsAt), ("PXAT", Unit::MillisAt)];
        UNITS.iter().find(|(name, _)| is(option, name)).map(|(_, unit)| *unit)
    }

    /// The time in Unix milliseconds that `argument` means now.
    fn time(self, argument: &[u8], now_ms: u64, command: &str) -> Result<u64, Failure> {
        let value = integer(argument)?;
        let millis = match self {
            Self::Seconds | Self::SecondsAt => value.checked_mul(1000),
            Self::Millis | Self::MillisAt => Some(value),
        };
        let base = match self {
            Self::Seconds | Self::Millis => now_ms as i64,
            Self::SecondsAt | Self::MillisAt => 0,
        };
        let time = millis.filter(|millis| *millis > 0).and_then(|millis| millis.checked_add(base));
        time.map(|time| time as u64).ok_or_else(|| Failure::expire_time(command))
    }
}

/// Redis's "extended string arguments".
#[derive(Default)]
struct Extended<'a> {
    expiry: Option<(Unit, &'a [u8])>,
    keep_ttl: bool,
    persist: bool,
    only_if_missing: bool,
    only_if_present: bool,
    get: bool,
}

impl<'a> Extended<'a> {
    fn parse(mut options: RequestOptions<'a>, for_set: bool) -> Result<Self, Failure> {
        let mut parsed = Self::default();
        while let Some(option) = options.next() {
            let timeless = parsed.expiry.is_none() && !parsed.keep_ttl && !parsed.persist;
            if for_set && is(option, "NX") && !parsed.only_if_present {
                parsed.only_if_missing = true;
            } else if for_set && is(option, "XX") && !parsed.only_if_missing {
                parsed.only_if_present = true;
            } else if for_set && is(option, "GET") {
                parsed.get = true;
            } else if for_set && is(option, "KEEPTTL") && parsed.expiry.is_none() {
                parsed.keep_ttl = true;
            } else if !for_set && is(option, "PERSIST") && parsed.expiry.is_none() {
                parsed.persist = true;
            } else {
                let unit = Unit::parse(option).ok_or(SYNTAX)?;
                // The same unit may be given again, as in Redis; the last one counts.
                if !timeless && parsed.expiry.is_none_or(|(other, _)| other != unit) {
                    return Err(SYNTAX);
                }
                parsed.expiry = Some((unit, options.value()?));
            }
        }
        Ok(parsed)
    }
}

/// `SET key value [NX | XX] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`
pub fn set<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let (key, value) = (request.get(1), request.get(2));
    let options = Extended::parse(RequestOptions::new(request, 3), true)?;
    let mut expires = match options.expiry {
        Some((unit, time)) => Some(unit.time(time, context.shared.now_ms, "set")?),
        None => None,
    };
    let found = if options.get {
        context.reply_value_or_null(key)?
    } else if options.only_if_missing || options.only_if_present || options.keep_ttl {
        context.find(key)?
    } else {
        None
    };
    if options.only_if_missing && found.is_some() || options.only_if_present && found.is_none() {
        if !options.get {
            context.reply.null();
        }
        return Ok(());
    }
    if options.keep_ttl {
        expires = found.and_then(|meta| meta.expires_at_ms);
    }
    context.put(key, value, expires)?;
    if !options.get {
        context.reply.ok();
    }
    Ok(())
}

/// `SETEX key seconds value`
pub fn setex<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    set_for(context, request, Unit::Seconds, "setex")
}

/// `PSETEX key milliseconds value`
pub fn psetex<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    set_for(context, request, Unit::Millis, "psetex")
}

fn set_for<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>, unit: Unit, name: &str) -> Outcome {
    let expires = unit.time(request.get(2), context.shared.now_ms, name)?;
    context.put(request.get(1), request.get(3), Some(expires))?;
    context.reply.ok();
    Ok(())
}

/// `GETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST]`
pub fn getex<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let key = request.get(1);
    let options = Extended::parse(RequestOptions::new(request, 2), false)?;
    let Some(meta) = context.reply_value_or_null(key)? else { return Ok(()) };
    let expires = match options.expiry {
        Some((unit, time)) => Some(unit.time(time, context.shared.now_ms, "getex")?),
        None if options.persist => None,
        None => meta.expires_at_ms,
    };
    if expires != meta.expires_at_ms {
        context.set_expiry(key, expires)?;
    }
    Ok(())
}
