//! The order of all locks: one list, outermost first.
//!
//! Whoever holds a lock may take only locks that come later in this list, and so none of the same class. Two CPUs can
//! then never wait for each other. A build with debug assertions checks each acquisition (see [`super::lockdep`]).

/// A lock's class, as a type.
pub trait Classified {
    /// The class.
    const CLASS: Class;
}

/// Makes a class of each line, and a type that stands for it.
macro_rules! classes {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a lock is for, in the order in which locks may be taken.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Class {
            $($(#[$doc])* $name,)*
        }

        impl Class {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
        }

        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub struct $name;

            impl Classified for $name {
                const CLASS: Class = Class::$name;
            }
        )*
    };
}

classes! {
    /// The table of descriptors. Sleeping.
    Descriptors,
    /// The tree of files. Sleeping.
    Files,
    /// The network stack. Sleeping.
    Network,
    /// Changes of one pmem device's mappings. Sleeping.
    Device,
    /// The report of a stray access: one at a time.
    Report,
    /// One object of the program's, such as an event counter.
    Object,
    /// The table of threads.
    Threads,
    /// Address slots for stacks.
    Slots,
    /// The I/O APICs.
    IoApics,
    /// The page tables.
    Space,
    /// The heap. Whoever wakes a thread holds a lock that comes after it, so waking never allocates.
    Heap,
    /// Who uses which frame of RAM.
    Frames,
    /// Threads that wait, in a wait queue or for a futex.
    Waiters,
    /// Armed timers.
    Timers,
    /// Threads that are ready.
    RunQueue,
    /// Locks in which no other is taken, but to print.
    Leaf,
    /// The console, last of all, so that everything can print.
    Console,
}

impl Class {
    /// Whether trap handlers may take such a lock. They neither sleep nor allocate.
    pub fn in_traps(self) -> bool {
        !matches!(self, Self::Descriptors | Self::Files | Self::Network | Self::Device | Self::Threads | Self::Heap)
    }
}
