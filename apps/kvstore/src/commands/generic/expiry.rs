//! Times to live.

use pmem::Medium;

use crate::commands::arguments::{RequestOptions, integer, is};
use crate::commands::failure::{Failure, Outcome};
use crate::commands::{Context, Request};

/// `EXPIRE key seconds [NX | XX | GT | LT]`
pub fn expire<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let now = context.shared.now_ms as i64;
    change(context, request, now, 1000, "expire")
}

/// `PEXPIRE key milliseconds [NX | XX | GT | LT]`
pub fn pexpire<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let now = context.shared.now_ms as i64;
    change(context, request, now, 1, "pexpire")
}

/// `EXPIREAT key unix-seconds [NX | XX | GT | LT]`
pub fn expireat<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    change(context, request, 0, 1000, "expireat")
}

/// `PEXPIREAT key unix-milliseconds [NX | XX | GT | LT]`
pub fn pexpireat<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    change(context, request, 0, 1, "pexpireat")
}

/// When an expiry may be changed.
#[derive(Default)]
struct Condition {
    missing: bool,
    present: bool,
    later: bool,
    sooner: bool,
}

impl Condition {
    fn parse(mut options: RequestOptions<'_>) -> Result<Self, Failure> {
        let mut parsed = Self::default();
        while let Some(option) = options.next() {
            match option {
                _ if is(option, "NX") => parsed.missing = true,
                _ if is(option, "XX") => parsed.present = true,
                _ if is(option, "GT") => parsed.later = true,
                _ if is(option, "LT") => parsed.sooner = true,
                _ => return Err(Failure::owned([b"ERR Unsupported option ", option].concat())),
            }
        }
        if parsed.missing && (parsed.present || parsed.later || parsed.sooner) {
            return Err(Failure::text("ERR NX and XX, GT or LT options at the same time are not compatible"));
        }
        if parsed.later && parsed.sooner {
            return Err(Failure::text("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(parsed)
    }

    /// Whether `old` may become `new`, in Unix milliseconds; a key without an expiry lives for ever.
    fn allows(&self, old: Option<u64>, new: i64) -> bool {
        let against = |old: u64| new.cmp(&(old as i64));
        !(self.missing && old.is_some()
            || self.present && old.is_none()
            || self.later && old.is_none_or(|old| against(old).is_le())
            || self.sooner && old.is_some_and(|old| against(old).is_ge()))
    }
}

fn change<M: Medium>(
    context: &mut Context<'_, '_, M>,
    request: Request<'_>,
    base_ms: i64,
    unit_ms: i64,
    name: &str,
) -> Outcome {
    let key = request.get(1);
    let condition = Condition::parse(RequestOptions::new(request, 3))?;
    let time = integer(request.get(2))?.checked_mul(unit_ms).and_then(|time| time.checked_add(base_ms));
    let time = time.ok_or_else(|| Failure::expire_time(name))?;
    let changed = match context.find(key)? {
        Some(meta) if condition.allows(meta.expires_at_ms, time) => {
            // Before 1970 is as much in the past as 1970 is.
            context.set_expiry(key, Some(time.max(0) as u64))?;
            true
        }
        _ => false,
    };
    context.reply.flag(changed);
    Ok(())
}

/// `PERSIST key`
pub fn persist<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let expires = context.find(request.get(1))?.and_then(|meta| meta.expires_at_ms);
    if expires.is_some() {
        context.set_expiry(request.get(1), None)?;
    }
    context.reply.flag(expires.is_some());
    Ok(())
}

/// `TTL key`
pub fn ttl<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let now = context.shared.now_ms;
    report(context, request, |at| seconds(at.saturating_sub(now)))
}

/// `PTTL key`
pub fn pttl<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let now = context.shared.now_ms;
    report(context, request, |at| at.saturating_sub(now))
}

/// `EXPIRETIME key`
pub fn expiretime<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    report(context, request, seconds)
}

/// `PEXPIRETIME key`
pub fn pexpiretime<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    report(context, request, |at| at)
}

/// Milliseconds to the nearest second.
fn seconds(millis: u64) -> u64 {
    (millis + 500) / 1000
}

fn report<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>, of: impl FnOnce(u64) -> u64) -> Outcome {
    let answer = match context.look(request.get(1))? {
        None => -2,
        Some(meta) => meta.expires_at_ms.map_or(-1, |at| of(at) as i64),
    };
    context.reply.integer(answer);
    Ok(())
}

impl<M: Medium> Context<'_, '_, M> {
    /// Gives an existing key another expiry; one in the past removes the key.
    pub fn set_expiry(&mut self, key: &[u8], expires_at_ms: Option<u64>) -> Outcome {
        if let Some(meta) = self.read(key)? {
            self.put_value(key, meta.value_type, expires_at_ms)?;
        }
        Ok(())
    }
}
