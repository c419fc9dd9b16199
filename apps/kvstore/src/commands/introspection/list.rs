//! `COMMAND LIST`.

use pmem::Medium;

use crate::commands::arguments::is;
use crate::commands::failure::{Failure, Outcome, SYNTAX};
use crate::commands::table::Command;
use crate::commands::{Context, Request};
use crate::glob;

/// `COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN pattern]`
pub fn list<M: Medium + 'static>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let filter = match request.len() {
        2 => Filter::None,
        5 if is(request.get(2), "FILTERBY") => Filter::parse(request.get(3), request.get(4))?,
        _ => return Err(SYNTAX),
    };
    let every = Command::<M>::TABLE.iter().flat_map(|command| std::iter::once(command).chain(command.subcommands));
    let found: Vec<&Command<M>> = every.filter(|command| filter.admits(command)).collect();
    context.reply.array(found.len());
    for command in found {
        context.reply.bulk(command.full_name.as_bytes());
    }
    Ok(())
}

/// Which commands `COMMAND LIST` shows.
enum Filter {
    None,
    /// Those of a module: there are no modules.
    Module,
    /// Those of a category, named without its `@`.
    Category(Vec<u8>),
    /// Those whose name matches, in lower case.
    Pattern(Vec<u8>),
}

impl Filter {
    fn parse(kind: &[u8], argument: &[u8]) -> Result<Self, Failure> {
        match kind {
            _ if is(kind, "MODULE") => Ok(Self::Module),
            _ if is(kind, "ACLCAT") => Ok(Self::Category(argument.to_ascii_lowercase())),
            _ if is(kind, "PATTERN") => Ok(Self::Pattern(argument.to_ascii_lowercase())),
            _ => Err(SYNTAX),
        }
    }

    fn admits<M: Medium>(&self, command: &Command<M>) -> bool {
        match self {
            Self::None => true,
            Self::Module => false,
            Self::Category(category) => command.flags.categories().any(|name| name.as_bytes()[1..] == category[..]),
            Self::Pattern(pattern) => glob::matches(pattern, command.full_name.as_bytes()),
        }
    }
}
