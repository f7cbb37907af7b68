//! The agent's log: the same events on standard error and in `log.txt` as lines for people, and in `log.jsonl` as JSON,
//! which goes to the bucket. Both are kept within bounds.

mod kept;

use std::io;
use std::path::Path;

use async_trait::async_trait;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::{BoxMakeWriter, MakeWriterExt};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::driver::Journal;
use kept::{BOUNDS, Kept};

/// Chooses what is logged: `target=level` pairs with commas between.
const FILTER_VARIABLE: &str = "DAYFLY_LOG";
/// Our own events from `info` on, others' from `warn` on.
const FILTER: &str = "warn,dayfly_agent=info,dayfly_shared=info";

/// The log's files.
pub struct Log {
    json: Kept,
}

impl Log {
    /// Opens the log in `folder` and sends every event there from now on, with `quiet` not to standard error, and as
    /// JSON to `also`.
    ///
    /// # Errors
    /// A folder that cannot be written: the text names it and the flag.
    pub fn open<W>(folder: &Path, quiet: bool, also: Option<W>) -> Result<Self, String>
    where
        W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
    {
        std::fs::create_dir_all(folder).map_err(|e| {
            format!("the work folder {} cannot be made: {e}; choose another with --work-dir", folder.display())
        })?;
        let open = |name: &str| {
            let file = folder.join(name);
            Kept::open(&file, BOUNDS).map_err(|e| {
                format!("the log {} cannot be written: {e}; choose another folder with --work-dir", file.display())
            })
        };
        let (json, text) = (open("log.jsonl")?, open("log.txt")?);
        let wanted = std::env::var(FILTER_VARIABLE).unwrap_or_else(|_| FILTER.to_owned());
        let filter: Targets =
            wanted.parse().map_err(|e| format!("{FILTER_VARIABLE} is not a filter such as '{FILTER}': {e}"))?;
        // One layer, whatever it writes to: each kind of layer is a good part of the program's size.
        let json_writer = match also {
            Some(also) => BoxMakeWriter::new(json.clone().and(also)),
            None => BoxMakeWriter::new(json.clone()),
        };
        let as_json = tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .with_writer(json_writer);
        let as_text = tracing_subscriber::fmt::layer().with_ansi(false).with_target(false).with_writer(text);
        let on_stderr = (!quiet)
            .then(|| tracing_subscriber::fmt::layer().with_ansi(false).with_target(false).with_writer(io::stderr));
        tracing_subscriber::registry()
            .with(as_json.with_filter(filter.clone()))
            .with(as_text.with_filter(filter.clone()))
            .with(on_stderr.map(|layer| layer.with_filter(filter.clone())))
            .try_init()
            .map_err(|e| format!("the log cannot be set up: {e}"))?;
        Ok(Self { json })
    }
}

#[async_trait]
impl Journal for Log {
    async fn size(&self) -> u64 {
        self.json.written()
    }

    async fn content(&self) -> io::Result<Vec<u8>> {
        let json = self.json.clone();
        tokio::task::spawn_blocking(move || json.content()).await.map_err(io::Error::other)?
    }
}
