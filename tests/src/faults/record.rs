//! What is written down about a run, and what it comes to.

use libos_contract::exit::PROTECTION_FAULT;
use libos_contract::protection::Protection;
use libos_contract::rights::Access;
use serde::{Deserialize, Serialize};

use super::integrity::Integrity;
use super::judge::{Data, Judgement};
use super::plan::Plan;

/// Which protection a run was under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// Protection keys for supervisor pages.
    Pks,
    /// Protection keys for user pages.
    Pku,
    /// None: the control group.
    None,
}

impl Group {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        self.protection().word()
    }

    /// What protects persistent memory in its runs.
    pub fn protection(self) -> Protection {
        match self {
            Self::Pks => Protection::Pks,
            Self::Pku => Protection::Pku,
            Self::None => Protection::None,
        }
    }

    /// Whether anything keeps stray stores out.
    pub fn is_protected(self) -> bool {
        self != Self::None
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// The load went on to its end; then the machine or the process was killed.
    Completed,
    /// The process was ended by a signal.
    Killed {
        /// Which.
        signal: u8,
        /// Whether a protection key has denied an access to a device before.
        by_key: bool,
    },
    /// The guest ended the machine with this exit status.
    Exited(u8),
    /// QEMU ended without the guest's word: a triple fault, for example.
    Lost,
    /// The debugger could not follow the guest any more, which was then killed.
    Unfollowed,
    /// No write was acknowledged for a long time, while the machine ran.
    Hung,
    /// The server took no connection any more, or refused what every client sent.
    Refused,
}

/// What its report says when pmem was to be executed, which no page of it permits, whatever the protection.
const EXECUTION: &str = "FAULT stray execution";

/// What a run comes to. The first that fits counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Persistent memory was changed where no grant was open: the device that nobody had one for, or with protection
    /// broken.
    OutsideGrant,
    /// Persistent memory was overwritten, and whether within an open grant is not known, because protection could not
    /// be looked at at the end or was not as it should be.
    Undecided,
    /// Persistent memory was overwritten within an open grant; or, in the control group, records that the run itself
    /// stored are not readable.
    InsideGrant,
    /// What was stored was wrong already, in RAM.
    WrongBeforeStore,
    /// A stray access was stopped, with a report.
    Stopped,
    /// The guest ended itself: a panic, an exception, or an exit.
    Crashed,
    /// The machine went on without doing anything useful.
    Hung,
    /// The clients saw errors or wrong answers; what is stored is right.
    ClientErrors,
    /// Nothing was noticed.
    Unaffected,
}

impl Outcome {
    /// All of them, the harmless ones first.
    pub const ALL: [Self; 9] = [
        Self::Unaffected,
        Self::ClientErrors,
        Self::Hung,
        Self::Crashed,
        Self::Stopped,
        Self::WrongBeforeStore,
        Self::InsideGrant,
        Self::Undecided,
        Self::OutsideGrant,
    ];

    /// What it is called in the report.
    pub fn label(self) -> &'static str {
        match self {
            Self::Unaffected => "unaffected",
            Self::ClientErrors => "errors seen by clients",
            Self::Hung => "hang",
            Self::Crashed => "crash (panic, exception, exit)",
            Self::Stopped => "stopped by protection, with a report",
            Self::WrongBeforeStore => "wrong before it was stored",
            Self::InsideGrant => "pmem overwritten inside an open grant",
            Self::Undecided => "pmem overwritten, undecided",
            Self::OutsideGrant => "pmem overwritten outside of grants",
        }
    }
}

/// What is written down about a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// What was to happen.
    pub plan: Plan,
    /// Under which protection.
    pub group: Group,
    /// What was done to the guest. Empty when there was nothing that the fault could be done to.
    pub injected: Vec<String>,
    /// The CPU on which it was done, from 1, and where that was.
    pub cpu: u32,
    /// The instruction at which the fault was injected.
    pub rip: u64,
    /// Whether the moment was the one that was planned; otherwise its function was not called in time.
    pub moment_reached: bool,
    /// Protection before the fault.
    pub before: Option<Integrity>,
    /// Protection at the end; `None` without protection, or when the machine was gone before it could be looked at.
    pub after: Option<Integrity>,
    /// Writes acknowledged before the fault, and in all.
    pub writes: [u64; 2],
    /// How the run ended.
    pub ending: Ending,
    /// What the clients complain about.
    pub complaints: Vec<String>,
    /// What the guest printed after the fault, its first lines.
    pub console: Vec<String>,
    /// What is in the images.
    pub judgement: Judgement,
    /// Why the guest could not be followed to its end, if it could not.
    pub trouble: Option<String>,
    /// How long it took.
    pub seconds: f64,
    /// What it comes to.
    pub outcome: Outcome,
}

impl Record {
    /// Of a run that is about to begin.
    pub fn new(plan: &Plan, group: Group) -> Self {
        Self {
            plan: plan.clone(),
            group,
            injected: Vec::new(),
            cpu: 1,
            rip: 0,
            moment_reached: true,
            before: None,
            after: None,
            writes: [0; 2],
            ending: Ending::Completed,
            complaints: Vec::new(),
            console: Vec::new(),
            judgement: Judgement::default(),
            trouble: None,
            seconds: 0.0,
            outcome: Outcome::Unaffected,
        }
    }

    /// Whether the CPU could write to the pool's device when the fault was injected on it.
    pub fn was_writable(&self) -> bool {
        self.before.as_ref().and_then(|before| before.pool_access(self.cpu)) == Some(Access::Write)
    }

    /// What the run comes to, from everything else.
    pub fn decide(&self) -> Outcome {
        let aimed_at_rights = self.injected.iter().any(|what| what.contains("saved rights"));
        let intact = self.after.as_ref().is_some_and(Integrity::holds) && !aimed_at_rights;
        // Without protection nothing says where a record was spoilt that the run itself was storing. Counting it as one
        // of those that protection would not have prevented is what speaks against protection, if anything.
        let only_active = !self.group.is_protected() && self.judgement.overwritten.count == 0;
        match (self.judgement.data(), self.group.is_protected()) {
            (Data::Overwritten, false) if only_active => Outcome::InsideGrant,
            (Data::CanaryChanged, _) | (Data::Overwritten, false) => Outcome::OutsideGrant,
            (Data::Overwritten, true) if intact => Outcome::InsideGrant,
            (Data::Overwritten, true) => Outcome::Undecided,
            (Data::WrongBeforeStore, _) => Outcome::WrongBeforeStore,
            (Data::Intact, _) => match self.ending {
                Ending::Exited(PROTECTION_FAULT) if !self.console.iter().any(|line| line.contains(EXECUTION)) => {
                    Outcome::Stopped
                }
                Ending::Killed { by_key: true, .. } => Outcome::Stopped,
                Ending::Exited(_) | Ending::Lost | Ending::Killed { .. } => Outcome::Crashed,
                Ending::Hung | Ending::Unfollowed => Outcome::Hung,
                Ending::Refused => Outcome::ClientErrors,
                Ending::Completed if !self.complaints.is_empty() => Outcome::ClientErrors,
                Ending::Completed => Outcome::Unaffected,
            },
        }
    }
}
