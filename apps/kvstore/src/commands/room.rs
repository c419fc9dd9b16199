//! What a write does that finds the pool full: dead keys go first.

use pmem::Medium;

use super::{Context, Failure};
use crate::expire;

/// Whether a command found no room, and some of the expired keys that there may be were removed: then it begins again
/// in the next turn, and so on until it has room or there are none.
pub fn was_made<M: Medium>(context: &mut Context<'_, '_, M>, failure: &Failure) -> bool {
    if !failure.is_full() || !context.shared.expiry.may_find(context.shared.now_ms) {
        return false;
    }
    let made = expire::make_room(context.turn, context.shared, context.budget);
    if made {
        *context.task = None;
        context.shared.counters.uncount_command();
    }
    made
}
