//! `COMMAND LIST`.

use pmem::Medium;

use crate::commands::arguments::is;
use crate::commands::failure::{Failure, Outcome, SYNTAX};
use crate::commands::table::Command;
use crate::commands::{Context, Request};
use crate::glob::Pattern;
use crate::memory::Memory;

/// `COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN pattern]`
pub fn list<M: Medium + 'static>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let filter = match request.len() {
        2 => Filter::None,
        5 if is(request.get(2), "FILTERBY") => {
            Filter::parse::<M>(request.get(3), request.get(4), &context.shared.memory)?
        }
        _ => return Err(SYNTAX),
    };
    let found: Vec<&Command<M>> = every().filter(|command| filter.admits(command)).collect();
    context.reply.array(found.len());
    for command in found {
        context.reply.bulk(command.full_name.as_bytes());
    }
    Ok(())
}

/// All commands and subcommands.
fn every<M: Medium + 'static>() -> impl Iterator<Item = &'static Command<M>> {
    Command::<M>::TABLE.iter().flat_map(|command| std::iter::once(command).chain(command.subcommands))
}

/// Which commands `COMMAND LIST` shows.
enum Filter {
    None,
    /// Those of a module: there are no modules.
    Module,
    /// Those of a category, named without its `@`.
    Category(Vec<u8>),
    /// Those whose name matches, in lower case.
    Pattern(Pattern),
}

impl Filter {
    fn parse<M: Medium + 'static>(kind: &[u8], argument: &[u8], memory: &Memory) -> Result<Self, Failure> {
        match kind {
            _ if is(kind, "MODULE") => Ok(Self::Module),
            _ if is(kind, "ACLCAT") => Ok(Self::Category(argument.to_ascii_lowercase())),
            _ if is(kind, "PATTERN") => {
                let longest = every::<M>().map(|command| command.full_name.len()).max().unwrap_or(0);
                Ok(Self::Pattern(Pattern::new(&argument.to_ascii_lowercase(), longest, memory)?))
            }
            _ => Err(SYNTAX),
        }
    }

    fn admits<M: Medium>(&self, command: &Command<M>) -> bool {
        match self {
            Self::None => true,
            Self::Module => false,
            Self::Category(category) => command.flags.categories().any(|name| name.as_bytes()[1..] == category[..]),
            Self::Pattern(pattern) => pattern.matches(command.full_name.as_bytes()),
        }
    }
}
