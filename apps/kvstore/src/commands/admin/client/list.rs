//! `CLIENT INFO` and `CLIENT LIST`.

use pmem::Medium;

use super::is_of_type;
use crate::budget;
use crate::commands::arguments::is;
use crate::commands::failure::{Failure, Outcome, REPLY_TOO_LONG, SYNTAX};
use crate::commands::{Context, Request};
use crate::memory::Charge;
use crate::number;
use crate::resp::Protocol;
use crate::session::{Closing, Multi, Session};

/// `CLIENT INFO`
pub fn info<M: Medium>(context: &mut Context<'_, '_, M>, _: Request<'_>) -> Outcome {
    let line = line(context.session, context.shared.now_ms);
    context.reply.text(&line);
    Ok(())
}

/// `CLIENT LIST [TYPE normal | master | replica | pubsub] [ID id [id ...]]`
pub fn list<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    match request.len() {
        2 => all(context),
        4 if is(request.get(2), "TYPE") => match is_of_type(request.get(3))? {
            true => all(context),
            false => {
                context.reply.text("");
                Ok(())
            }
        },
        4.. if is(request.get(2), "ID") => some(context, request),
        _ => Err(SYNTAX),
    }
}

fn all<M: Medium>(context: &mut Context<'_, '_, M>) -> Outcome {
    let lines = Lines::of(context, |_| true)?;
    reply(context, || lines.lines.iter().map(|(_, line)| &line[..]))
}

/// Those clients that are named, each as often as it is.
fn some<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    const NO_ID: Failure = Failure::text("ERR Invalid client ID");
    let (mut ids, mut charge) = (Vec::new(), context.shared.memory.charge());
    charge.reserve(&mut ids, request.len())?;
    for id in request.from(3) {
        ids.push(number::integer(id).ok_or(NO_ID)?);
    }
    context.budget.charge(request.len() as u64 * budget::KEY);
    ids.sort_unstable();
    let lines = Lines::of(context, |session| ids.binary_search(&(session.id as i64)).is_ok())?;
    reply(context, || request.from(3).filter_map(number::integer).filter_map(|id| lines.get(id)))
}

/// Replies with some lines in one text, unless it is too long or there is no memory for it.
fn reply<'l, M: Medium, I: Iterator<Item = &'l str>>(
    context: &mut Context<'_, '_, M>,
    lines: impl Fn() -> I,
) -> Outcome {
    let length = lines().map(str::len).sum();
    if length > context.shared.limits.reply {
        return Err(REPLY_TOO_LONG);
    }
    let (mut text, mut charge) = (String::new(), context.shared.memory.charge());
    charge.grow(length)?;
    text.try_reserve_exact(length)?;
    lines().for_each(|line| text.push_str(line));
    context.reply.text(&text);
    Ok(())
}

/// The lines of some clients.
struct Lines {
    /// With the clients' numbers, in their order: that in which they came.
    lines: Vec<(u64, String)>,
    charge: Charge,
}

impl Lines {
    /// Those of the clients that are wanted.
    fn of<M: Medium>(context: &mut Context<'_, '_, M>, wanted: impl Fn(&Session) -> bool) -> Result<Self, Failure> {
        let now_ms = context.shared.now_ms;
        let mut lines = Self { lines: Vec::new(), charge: context.shared.memory.charge() };
        let mut taken = Ok(());
        let mut take = |session: &mut Session| {
            if session.closing != Some(Closing::Now) && wanted(session) && taken.is_ok() {
                taken = lines.add(session.id, line(session, now_ms));
            }
        };
        take(context.session);
        context.others.each(&mut take);
        taken?;
        lines.lines.sort_unstable_by_key(|(id, _)| *id);
        Ok(lines)
    }

    fn add(&mut self, id: u64, line: String) -> Outcome {
        self.charge.grow(size_of::<(u64, String)>() + line.capacity())?;
        self.lines.try_reserve(1)?;
        self.lines.push((id, line));
        Ok(())
    }

    /// That of the client of this number.
    fn get(&self, id: i64) -> Option<&str> {
        let at = self.lines.binary_search_by_key(&id, |(id, _)| *id as i64).ok()?;
        Some(&self.lines[at].1)
    }
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
