//! `CLIENT INFO` and `CLIENT LIST`.

use pmem::Medium;

use super::super::arguments::is;
use super::super::failure::{Failure, Outcome, SYNTAX};
use super::super::{Context, Request};
use super::is_of_type;
use crate::number;
use crate::resp::Protocol;
use crate::session::{Closing, Multi, Session};

/// `CLIENT INFO`
pub fn info<M: Medium>(context: &mut Context<'_, '_, M>, _: Request<'_>) -> Outcome {
    let line = line(context.session, context.state.now_ms);
    context.reply.text(&line);
    Ok(())
}

/// `CLIENT LIST [TYPE normal | master | replica | pubsub] [ID id [id ...]]`
pub fn list<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let text = match request.len() {
        2 => all(context)?,
        4 if is(request.get(2), "TYPE") => match is_of_type(request.get(3))? {
            true => all(context)?,
            false => String::new(),
        },
        4.. if is(request.get(2), "ID") => {
            const NO_ID: Failure = Failure::text("ERR Invalid client ID");
            let mut ids = Vec::new();
            ids.try_reserve_exact(request.len())?;
            for id in request.from(3) {
                ids.push(number::integer(id).ok_or(NO_ID)?);
            }
            let lines = lines(context, |session| ids.contains(&(session.id as i64)))?;
            let one = |id| lines.iter().find(|(other, _)| *other as i64 == id).map(|(_, line)| &line[..]);
            joined(ids.into_iter().filter_map(one))?
        }
        _ => return Err(SYNTAX),
    };
    context.reply.text(&text);
    Ok(())
}

fn all<M: Medium>(context: &mut Context<'_, '_, M>) -> Result<String, Failure> {
    let lines = lines(context, |_| true)?;
    joined(lines.iter().map(|(_, line)| &line[..]))
}

/// All lines in one text, if there is memory for it.
fn joined<'l>(lines: impl Iterator<Item = &'l str>) -> Result<String, Failure> {
    let mut text = String::new();
    for line in lines {
        text.try_reserve(line.len())?;
        text.push_str(line);
    }
    Ok(text)
}

/// The lines of those clients that are wanted, with their numbers, in the order in which they came.
fn lines<M: Medium>(
    context: &mut Context<'_, '_, M>,
    wanted: impl Fn(&Session) -> bool,
) -> Result<Vec<(u64, String)>, Failure> {
    let now_ms = context.state.now_ms;
    let (mut lines, mut room) = (Vec::new(), Ok(()));
    let mut take = |session: &mut Session| {
        if session.closing != Some(Closing::Now) && wanted(session) && room.is_ok() {
            room = lines.try_reserve(1);
            if room.is_ok() {
                lines.push((session.id, line(session, now_ms)));
            }
        }
    };
    take(context.session);
    context.others.each(&mut take);
    room?;
    lines.sort_unstable_by_key(|(id, _)| *id);
    Ok(lines)
}

/// One client as Redis 7.0 shows it, and its library as 7.2 does.
///
/// Replies wait in one buffer, which grows: it is what Redis calls the reply buffer, and there is no list behind it.
fn line(session: &Session, now_ms: u64) -> String {
    let buffers = &session.buffers;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!(
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} db=0 sub=0 psub=0 ssub=0 multi={} qbuf={} \
         qbuf-free={} argv-mem={} multi-mem=0 rbs={} rbp={} obl={} oll=0 omem=0 tot-mem={} events={} cmd={} \
         user=default redir=-1 resp={} lib-name={} lib-ver={}\n",
        session.id,
        session.ends.peer,
        session.ends.local,
        session.ends.descriptor,
        text(&session.name),
        now_ms.saturating_sub(session.since_ms) / 1000,
        now_ms.saturating_sub(session.active_ms) / 1000,
        flags(session),
        if session.multi == Multi::None { -1 } else { 0 },
        buffers.requests,
        buffers.requests_free,
        buffers.arguments,
        buffers.replies,
        buffers.replies_peak,
        buffers.replies_waiting,
        session.memory(),
        if buffers.blocked { "rw" } else { "r" },
        if session.command.is_empty() { "NULL" } else { session.command },
        if session.protocol == Protocol::Resp3 { 3 } else { 2 },
        text(&session.library),
        text(&session.library_version),
    )
}

fn flags(session: &Session) -> String {
    let flags: String = [
        (session.multi != Multi::None, 'x'),
        (session.closing == Some(Closing::AfterReplies), 'c'),
        (session.closing == Some(Closing::Now), 'A'),
        (session.no_evict, 'e'),
    ]
    .into_iter()
    .filter_map(|(has, flag)| has.then_some(flag))
    .collect();
    if flags.is_empty() { "N".into() } else { flags }
}
