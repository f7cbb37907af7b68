//! A state of the model of the views.

use std::collections::{BTreeMap, BTreeSet};

use dayfly_shared::clock::Timestamp;
use dayfly_shared::ids::{ChunkId, TaskId};
use dayfly_shared::keys::View;
use dayfly_shared::plan::{Segment, SegmentText, clean_lines};
use dayfly_shared::store::ETag;
use dayfly_shared::views::{Refresh, RefreshAsk, Survey, ViewRead, ViewsRead};

use super::super::pooled::{Shared, fingerprint};
use super::READERS;

/// What the adversary may still do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Troubles {
    /// Writes that get lost, or their answers.
    pub lost: u8,
    /// Writes that go unanswered and may be applied later.
    pub late: u8,
    /// Answers of 409.
    pub conflicts: u8,
    /// Refreshers that vanish; another comes that knows nothing.
    pub crashes: u8,
    /// Tasks given up.
    pub letters: u8,
    /// Outputs that come although the task was given up.
    pub late_outputs: u8,
}

/// What stands in the bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sheet {
    /// The views.
    pub views: ViewsRead,
    /// Texts of segments.
    pub texts: BTreeMap<u32, SegmentText>,
    /// Commits of segments.
    pub segments: BTreeMap<u32, Segment>,
    /// Chunks whose result stands. Each has one task.
    pub results: BTreeSet<ChunkId>,
    /// Dead letters.
    pub letters: BTreeSet<TaskId>,
    /// Names whose output stands.
    pub outputs: BTreeSet<String>,
    /// Every line that a person ever put into the list. (Not in the bucket: what must hold is said with it.)
    pub added: BTreeSet<String>,
    /// How often a person edited the list.
    pub edits: u8,
}

impl Sheet {
    /// Puts a view. Equal texts have equal tags; only a person's edits differ in time.
    pub fn put_view(&mut self, view: View, text: String, marked: bool) -> ETag {
        let etag = ETag::new(&format!("{:x}", fingerprint(&text)));
        let modified = Some(Timestamp::from_unix_ms(u64::from(self.edits) * 1000));
        self.views.insert(view, ViewRead { etag: etag.clone(), modified, marked, text: text.into_bytes() });
        etag
    }

    /// The lines of a view.
    pub fn lines(&self, view: View) -> BTreeSet<String> {
        self.views.get(&view).map(|v| clean_lines(&v.text)).unwrap_or_default().into_iter().collect()
    }

    /// Every planned task with its name.
    pub fn planned(&self) -> impl Iterator<Item = (ChunkId, TaskId, &str)> {
        self.segments.keys().flat_map(|segment| {
            let text = self.texts.get(segment).map_or("", |text| &text.text);
            (1..).zip(text.lines()).map(|(line, name)| {
                (ChunkId { segment: *segment, index: line }, TaskId { segment: *segment, line }, name)
            })
        })
    }
}

/// How far a request of a refresher got.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum At {
    /// There is none.
    Rest,
    /// Reading the views, one after the other: those read, present or not.
    Reading(BTreeMap<View, Option<ViewRead>>),
    /// Looking at the plan, then at the results, then at the dead letters: how many of these are done.
    Surveying(u8, Box<Survey>),
    /// Another request is on its way.
    Sent(RefreshAsk),
}

impl At {
    /// At the start of a request.
    pub fn asking(ask: RefreshAsk) -> Self {
        match ask {
            RefreshAsk::ReadViews => Self::Reading(BTreeMap::new()),
            RefreshAsk::Survey => Self::Surveying(0, Box::default()),
            ask => Self::Sent(ask),
        }
    }
}

/// A refresher.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reader {
    /// The real one.
    pub machine: Refresh,
    /// Its request.
    pub at: At,
    /// How many came before it in this place.
    pub life: u8,
}

/// A state of the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Desk {
    /// The refreshers.
    pub readers: [Shared<Reader>; READERS],
    /// The bucket.
    pub sheet: Shared<Sheet>,
    /// Writes that went unanswered and may yet be applied.
    pub ghosts: Shared<Vec<RefreshAsk>>,
    /// What the adversary may still do.
    pub left: Troubles,
    /// How many of the additions were made.
    pub additions: u8,
    /// Whether completed.txt ever lost a line.
    pub shrank: bool,
}
