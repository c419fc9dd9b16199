//! What is to happen in a run: which fault, after how many writes, at which place. All of it follows from the seed.

use std::fmt;

use serde::{Deserialize, Serialize};

use fastrand::Rng;

/// A kind of fault. Most are those that Rio was tried with (Chen et al., ASPLOS 1996, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Bits flip in code.
    Text,
    /// Bits flip in variables.
    Data,
    /// Bits flip on the heap, where something points to.
    Heap,
    /// Bits flip on the stack of the running thread or of another.
    Stack,
    /// A bit flips in a register of a running CPU.
    Registers,
    /// A bit flips in what a thread that does not run has saved: registers, return address, stack pointer, rights.
    SavedContext,
    /// Words that hold an address, in a register, on the stack or on the heap, get another one.
    Pointer,
    /// Copies run over their end.
    CopyOverrun,
    /// Copies are one byte too long or too short, or a comparison takes its limit wrongly.
    OffByOne,
    /// A place that takes a lock does not take it any more.
    LostLock,
    /// Blocks of the heap are freed while they are in use.
    UseAfterFree,
    /// The result of an instruction is wrong.
    Destination,
    /// Execution goes on somewhere else.
    WildJump,
    /// Instructions are not executed any more.
    DeletedInstruction,
    /// A store that the code does not have is executed, to any address.
    WildStore,
    /// Bits flip in the pool's index, which is on the heap.
    Index,
}

/// What faults are injected into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// A store in the guest.
    #[default]
    Guest,
    /// A store that is a process of Linux.
    Native,
}

impl Target {
    /// For people: where its runs are made.
    pub fn words(self) -> &'static str {
        match self {
            Self::Guest => "in guests",
            Self::Native => "in processes of Linux",
        }
    }

    /// The kinds of faults that its runs get in turns.
    pub fn kinds(self) -> &'static [Kind] {
        match self {
            // Adding one would change what each number of a run means.
            Self::Guest => &Kind::ALL[..14],
            Self::Native => &Kind::ALL,
        }
    }
}

impl Kind {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 16] = [
        Self::Text,
        Self::Data,
        Self::Heap,
        Self::Stack,
        Self::Registers,
        Self::SavedContext,
        Self::Pointer,
        Self::CopyOverrun,
        Self::OffByOne,
        Self::LostLock,
        Self::UseAfterFree,
        Self::Destination,
        Self::WildJump,
        Self::DeletedInstruction,
        Self::WildStore,
        Self::Index,
    ];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "bit flips in code",
            Self::Data => "bit flips in variables",
            Self::Heap => "bit flips on the heap",
            Self::Stack => "bit flips on stacks",
            Self::Registers => "bit flip in a register",
            Self::SavedContext => "bit flip in a saved context",
            Self::Pointer => "corrupted pointers",
            Self::CopyOverrun => "copy overruns",
            Self::OffByOne => "off by one",
            Self::LostLock => "lost lock",
            Self::UseAfterFree => "use after free",
            Self::Destination => "wrong result",
            Self::WildJump => "wild jump",
            Self::DeletedInstruction => "deleted instructions",
            Self::WildStore => "wild store",
            Self::Index => "bit flips in the index",
        })
    }
}

/// At which moment the fault is injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    /// Wherever the CPU is.
    Anywhere,
    /// In some function of the working set: where it begins, or some steps later.
    InFunction {
        /// Which of the functions.
        function: u64,
        /// How many of its calls go by before.
        calls: u64,
        /// How many instructions of it, and of what it calls, are executed before.
        steps: u64,
    },
}

/// What is to happen in one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The run's number.
    pub run: u64,
    /// The fault.
    pub kind: Kind,
    /// How many writes are acknowledged before.
    pub writes_before: u64,
    /// How many writes are acknowledged after, if all goes well, before the machine is killed.
    pub writes_after: u64,
    /// When exactly.
    pub moment: Moment,
    /// What the fault's own choices (which word, which bit, how far) follow from.
    pub injection_seed: u64,
    /// What the load's keys and values follow from.
    pub load_seed: u64,
}

impl Plan {
    /// The plan of a run. The same numbers give the same plan, whatever protection it is carried out under.
    pub fn new(target: Target, seed: u64, run: u64) -> Self {
        let kinds = target.kinds();
        let mut random = Rng::with_seed(seed.wrapping_mul(0x1_0000_0001).wrapping_add(run));
        let moment = match random.u64(..5) {
            0..2 => Moment::Anywhere,
            _ => Moment::InFunction {
                function: random.u64(..1 << 20),
                calls: random.u64(..12),
                steps: if random.u64(..3) == 0 { 0 } else { random.u64(..200) },
            },
        };
        Self {
            run,
            kind: kinds[(run % kinds.len() as u64) as usize],
            writes_before: 40 + random.u64(..300),
            writes_after: 400,
            moment,
            injection_seed: random.u64(..1 << 47),
            load_seed: random.u64(..1 << 47),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_plan_follows_from_the_seed_and_the_run_alone() {
        assert_eq!(Plan::new(Target::Guest, 1, 5), Plan::new(Target::Guest, 1, 5));
        assert_ne!(Plan::new(Target::Guest, 1, 5), Plan::new(Target::Guest, 2, 5));
        assert_ne!(Plan::new(Target::Guest, 1, 5).injection_seed, Plan::new(Target::Guest, 1, 6).injection_seed);
        let seeds: BTreeSet<u64> = (0..1000).map(|run| Plan::new(Target::Guest, 1, run).injection_seed).collect();
        assert_eq!(seeds.len(), 1000);
    }

    #[test]
    fn every_kind_and_every_moment_comes_about_as_often_as_it_should() {
        let plans: Vec<Plan> = (0..1400).map(|run| Plan::new(Target::Guest, 3, run)).collect();
        for kind in Target::Guest.kinds() {
            assert_eq!(plans.iter().filter(|plan| plan.kind == *kind).count(), 100);
        }
        let anywhere = plans.iter().filter(|plan| plan.moment == Moment::Anywhere).count();
        assert!((460..660).contains(&anywhere), "{anywhere}");
        let early = plans.iter().filter(|plan| plan.writes_before < 190).count();
        assert!((600..800).contains(&early), "{early}");
    }

    #[test]
    fn a_guest_has_the_kinds_that_it_had_before_there_were_others() {
        assert_eq!(Target::Guest.kinds().last(), Some(&Kind::DeletedInstruction));
        assert_eq!(Plan::new(Target::Native, 1, 14).kind, Kind::WildStore);
        assert_eq!(Plan::new(Target::Guest, 1, 14).kind, Kind::Text);
    }

    #[test]
    fn a_plan_survives_being_written_down() {
        let plan = Plan::new(Target::Guest, 1, 7);
        let text = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    }
}
