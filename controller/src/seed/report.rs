//! What `seed` came to.

use std::fmt;

use dayfly_shared::job::{JobSettings, Location};
use dayfly_shared::records::ControlState;
use serde::Serialize;

use crate::human;
use crate::merge::Merged;

/// What `seed` came to.
#[derive(Clone, Debug, Serialize)]
pub struct SeedReport {
    /// The job.
    pub job: Location,
    /// Where its inputs are.
    pub inputs_place: Location,
    /// Where its outputs go.
    pub outputs_place: Location,
    /// How many inputs there are.
    pub inputs: u64,
    /// How many were sent now.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// How many inputs have their output.
    pub done: u64,
    /// How many have none.
    pub to_do: u64,
    /// Outputs deleted to be made anew.
    pub redone: u64,
    /// Whether the kernel took the place of another.
    pub kernel_replaced: bool,
    /// What became of the task list.
    pub list: Merged,
    /// Inputs that are newer than the output that stands.
    pub stale: Vec<String>,
    /// Hidden files that were passed over.
    pub hidden: u64,
    /// Links in a circle or to nowhere, sockets, devices: passed over.
    pub odd: Vec<String>,
    /// What the fleet is told, where that is not to work.
    pub control: Option<ControlState>,
}

impl SeedReport {
    /// Of nothing yet.
    pub fn new(job: &Location, settings: &JobSettings) -> Self {
        Self {
            job: job.clone(),
            inputs_place: settings.inputs(job).clone(),
            outputs_place: settings.outputs(job).clone(),
            inputs: 0,
            sent: 0,
            sent_bytes: 0,
            done: 0,
            to_do: 0,
            redone: 0,
            kernel_replaced: false,
            list: Merged::default(),
            stale: Vec::new(),
            hidden: 0,
            odd: Vec::new(),
            control: None,
        }
    }

    /// Whether nothing is left to do: every input has its output, and nobody listed anything else.
    pub fn finished(&self) -> bool {
        self.to_do == 0 && self.list.kept == 0
    }
}

impl fmt::Display for SeedReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "job      {}", self.job)?;
        write!(f, "inputs   {}", human::thousands(self.inputs))?;
        if self.inputs_place != self.job {
            write!(f, " in {}", self.inputs_place)?;
        }
        match self.sent {
            0 => writeln!(f, ", all in place")?,
            sent => writeln!(f, ", {} sent now ({})", human::thousands(sent), human::bytes(self.sent_bytes))?,
        }
        write!(f, "done     {}", human::thousands(self.done))?;
        if self.outputs_place != self.job {
            write!(f, " in {}", self.outputs_place)?;
        }
        writeln!(f)?;
        write!(f, "to do    {}", human::thousands(self.to_do))?;
        match (self.list.added as u64, self.list.kept as u64) {
            (0, 0) => writeln!(f)?,
            (0, kept) => writeln!(f, ", all in tasklist.txt ({})", human::count(kept, "line"))?,
            (added, 0) => writeln!(f, ", {} in tasklist.txt", human::count(added, "line"))?,
            (added, kept) => writeln!(
                f,
                ", {} added to the {} of tasklist.txt",
                human::count(added, "line"),
                human::thousands(kept)
            )?,
        }
        if self.list.repeated > 0 {
            writeln!(
                f,
                "note: {} in tasklist.txt counted once",
                human::count(self.list.repeated as u64, "repeated line")
            )?;
        }
        if self.hidden > 0 {
            writeln!(f, "note: {} passed over (--hidden takes them)", human::count(self.hidden, "hidden file"))?;
        }
        if !self.odd.is_empty() {
            writeln!(f, "note: no files, or links in a circle or to nowhere, passed over: {}", human::some(&self.odd))?;
        }
        if self.kernel_replaced {
            writeln!(f, "note: the kernel took the place of another, with which nothing was made yet")?;
        }
        if self.redone > 0 {
            writeln!(f, "note: {} deleted, to be made anew", human::count(self.redone, "output"))?;
        }
        if !self.stale.is_empty() {
            writeln!(
                f,
                "note: {} newer than the output that stands: {} (to do one again: --redo NAME)",
                human::count(self.stale.len() as u64, "input"),
                human::some(&self.stale)
            )?;
        }
        if let Some(state) = self.control {
            let state = match state {
                ControlState::Cancelled => "cancelled",
                ControlState::Suspended => "suspended",
                ControlState::Draining => "draining",
                _ => "paused",
            };
            writeln!(f, "note: the job is {state}; agents work after: dayfly resume {}", self.job)?;
        }
        if self.finished() {
            writeln!(f, "Nothing is left to do: every input has its output.")?;
        }
        Ok(())
    }
}
