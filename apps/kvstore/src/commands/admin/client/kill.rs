//! `CLIENT KILL`.

use pmem::Medium;

use super::is_of_type;
use crate::commands::arguments::{RequestOptions, is};
use crate::commands::failure::{Failure, Outcome, SYNTAX};
use crate::commands::{Context, Request};
use crate::number;
use crate::session::{Closing, Session};

/// `CLIENT KILL ip:port`, or `CLIENT KILL [ID id] [TYPE type] [USER username] [ADDR ip:port] [LADDR ip:port]
/// [SKIPME yes | no]`, any of them more than once: the last one counts.
pub fn kill<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let old = request.len() == 3;
    let filter = match old {
        true => Filter { peer: Some(request.get(2)), ..Filter::default() },
        false => Filter::parse(RequestOptions::new(request, 2))?,
    };
    let mut killed = 0;
    context.others.each(&mut |other| {
        if other.closing != Some(Closing::Now) && filter.admits(other) {
            other.closing = Some(Closing::Now);
            killed += 1;
        }
    });
    context.shared.killed |= killed > 0;
    if !filter.skip_me && filter.admits(context.session) {
        context.session.closing = Some(Closing::AfterReplies);
        killed += 1;
    }
    match (old, killed) {
        (true, 0) => return Err(Failure::text("ERR No such client")),
        (true, _) => context.reply.ok(),
        (false, _) => context.reply.integer(killed),
    }
    Ok(())
}

/// Which clients are meant.
#[derive(Default)]
struct Filter<'a> {
    id: Option<u64>,
    peer: Option<&'a [u8]>,
    local: Option<&'a [u8]>,
    /// A type that no client here has.
    other_type: bool,
    skip_me: bool,
}

impl<'a> Filter<'a> {
    fn parse(mut options: RequestOptions<'a>) -> Result<Self, Failure> {
        const NO_ID: Failure = Failure::text("ERR client-id should be greater than 0");
        let mut filter = Self { skip_me: true, ..Self::default() };
        while let Some(option) = options.next() {
            let value = options.value()?;
            match option {
                _ if is(option, "ID") => {
                    let id = number::integer(value).and_then(|id| u64::try_from(id).ok()).filter(|id| *id > 0);
                    filter.id = Some(id.ok_or(NO_ID)?);
                }
                _ if is(option, "TYPE") => filter.other_type = !is_of_type(value)?,
                _ if is(option, "ADDR") => filter.peer = Some(value),
                _ if is(option, "LADDR") => filter.local = Some(value),
                _ if is(option, "USER") && value == b"default" => {}
                _ if is(option, "USER") => {
                    return Err(Failure::owned([b"ERR No such user '", value, b"'"].concat()));
                }
                _ if is(option, "SKIPME") && is(value, "yes") => filter.skip_me = true,
                _ if is(option, "SKIPME") && is(value, "no") => filter.skip_me = false,
                _ => return Err(SYNTAX),
            }
        }
        Ok(filter)
    }

    fn admits(&self, session: &Session) -> bool {
        let is = |wanted: Option<&[u8]>, address: std::net::SocketAddr| {
            wanted.is_none_or(|wanted| wanted == address.to_string().as_bytes())
        };
        self.id.is_none_or(|id| id == session.id)
            && !self.other_type
            && is(self.peer, session.ends.peer)
            && is(self.local, session.ends.local)
    }
}
