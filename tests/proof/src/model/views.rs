//! Refreshers of the views, and of the plan, as a model: the real [`Refresh`] of each, against each other, against work that
//! gets done or given up, and against a person who adds lines to the list. The adversary decides when each object is read,
//! what is applied, answered and lost.

mod desk;
mod moves;
mod properties;

pub use desk::{Desk, Reader, Sheet, Troubles};
pub use moves::Step;

use dayfly_shared::clock::Now;
use dayfly_shared::ids::{AgentId, Nonce};
use dayfly_shared::job::{JobSettings, Location};
use dayfly_shared::keys::View;
use dayfly_shared::plan::{Frozen, Segment, SegmentText, Source, join_lines};
use dayfly_shared::views::Refresh;
use stateright::{Model, Property};

use super::pooled::Pool;
use super::search::Searched;
use desk::At;

/// At most so many refreshers.
pub const READERS: usize = 2;

/// One configuration.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What it is called.
    pub name: &'static str,
    /// The list as it was seeded.
    pub seeded: &'static [&'static str],
    /// Whether it is planned already; else the refreshers begin with the plan, as agents that boot do.
    pub planned: bool,
    /// What a person may add to it; one that is listed already is listed anew.
    pub additions: &'static [&'static str],
    /// What the adversary may do.
    pub troubles: Troubles,
}

/// The model of one configuration.
#[derive(Debug)]
pub struct Views {
    setup: Setup,
    location: Location,
    readers: Pool<Reader>,
    sheets: Pool<Sheet>,
    ghosts: Pool<Vec<dayfly_shared::views::RefreshAsk>>,
}

impl Views {
    /// The model of a configuration.
    ///
    /// # Panics
    /// Never: the place it gives the job is a place.
    pub fn new(setup: Setup) -> Self {
        #[expect(clippy::unwrap_used, reason = "the text is a constant")]
        let location = "s3://bucket/job".parse().unwrap();
        Self { setup, location, readers: Pool::default(), sheets: Pool::default(), ghosts: Pool::default() }
    }

    /// The configuration.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// A refresher that knows nothing yet, about to make the plan if there is none.
    fn fresh(&self, place: u8, life: u8) -> Reader {
        let me = AgentId::of("a", Nonce(u64::from(place) * 16 + u64::from(life)));
        let mut machine = Refresh::new(me, self.location.clone(), JobSettings::default());
        let at = if self.setup.planned { At::Rest } else { At::asking(machine.begin(true)) };
        Reader { machine, at, life }
    }

    fn now(&self) -> Now {
        Now::default()
    }
}

impl Model for Views {
    type State = Desk;
    type Action = Step;

    fn init_states(&self) -> Vec<Desk> {
        let mut sheet = Sheet::default();
        sheet.put_view(View::Tasklist, join_lines(self.setup.seeded), false);
        if self.setup.planned {
            let text = join_lines(self.setup.seeded);
            let read = sheet.views.get(&View::Tasklist);
            let source = read.map(|v| Source { etag: v.etag.as_str().to_owned(), modified: v.modified });
            let (settings, by) = (Some(JobSettings::default()), AgentId::of("planner", Nonce(0)));
            let frozen = Frozen { settings, source: source.clone(), by, at: self.now().wall };
            sheet.segments.insert(1, Segment::cut(1, &text, 1, frozen));
            sheet.texts.insert(1, SegmentText { text, source });
        }
        sheet.added.extend(self.setup.seeded.iter().map(|s| (*s).to_owned()));
        vec![Desk {
            readers: [0, 1].map(|place| self.readers.keep(self.fresh(place, 0))),
            sheet: self.sheets.keep(sheet),
            ghosts: self.ghosts.keep(Vec::new()),
            left: self.setup.troubles,
            additions: 0,
            shrank: false,
        }]
    }

    fn actions(&self, desk: &Desk, steps: &mut Vec<Step>) {
        self.steps(desk, steps);
    }

    fn next_state(&self, desk: &Desk, step: Step) -> Option<Desk> {
        self.take(desk, step)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}

impl Searched for Views {
    /// Every line is planned and decided, and stands in completed.txt or in failed.txt, and nowhere else.
    fn is_end(&self, desk: &Desk) -> Option<bool> {
        Some(properties::is_over(&desk.sheet))
    }

    fn describe(&self, before: &Desk, step: &Step) -> String {
        moves::describe(before, step)
    }
}
