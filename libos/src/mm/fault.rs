//! The one kind of page fault that is nobody's mistake.

use super::translate;
use crate::arch::PageFault;

/// Whether the page, as it is mapped now, permits the store: it was made writable a moment ago, and this CPU, not yet
/// told, used what it remembered. The fault has made it forget, so the store succeeds now.
pub(crate) fn is_outdated(fault: PageFault) -> bool {
    fault.is_plain_write_violation() && translate(fault.address).is_some_and(|leaf| leaf.flags.is_writable())
}
