//! A job in a bucket, laid out by hand or seeded, and what its end must look like.

mod planned;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dayfly_shared::bucket::JobBucket;
use dayfly_shared::job::{JobSettings, Location};
use dayfly_shared::keys::{View, output_name};
use dayfly_shared::plan::clean_lines;
use dayfly_shared::records::{AgentRecord, ResultRecord, Semaphore};
use dayfly_shared::store::{Attributes, Condition, Outcome, Store, StoreExt};

use crate::watcher::Watcher;
use crate::{Agent, World, content, invariants};

/// What to lay out.
pub struct Layout {
    bucket: String,
    prefix: String,
    settings: Option<JobSettings>,
    kernel: Option<Vec<u8>>,
    inputs: Vec<(String, Vec<u8>)>,
    list: Option<Vec<u8>>,
    watched: bool,
}

/// The settings of most tests: leases that expire while a test looks on.
pub fn short_lease() -> JobSettings {
    JobSettings { lease_ttl_seconds: 2, agents: 3, ..JobSettings::default() }
}

impl Layout {
    /// `count` inputs `in0.dat` …, a kernel, a list, and [`short_lease`].
    pub fn new(count: usize) -> Self {
        Self::of(content::names(count).into_iter().enumerate().map(|(n, name)| {
            let bytes = content::of(&name, content::size(n));
            (name, bytes)
        }))
    }

    /// These inputs.
    pub fn of(inputs: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        Self {
            bucket: crate::world::BUCKET.to_owned(),
            prefix: "job".to_owned(),
            settings: Some(short_lease()),
            kernel: Some(content::KERNEL.to_vec()),
            inputs: inputs.into_iter().collect(),
            list: None,
            watched: true,
        }
    }

    /// In this bucket.
    #[must_use]
    pub fn bucket(mut self, bucket: &str) -> Self {
        self.bucket = bucket.to_owned();
        self
    }

    /// At this prefix.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Self {
        self.prefix = prefix.to_owned();
        self
    }

    /// With this `job.json`; with none, without.
    #[must_use]
    pub fn settings(mut self, settings: Option<JobSettings>) -> Self {
        self.settings = settings;
        self
    }

    /// With this kernel, or without one.
    #[must_use]
    pub fn kernel(mut self, kernel: Option<&[u8]>) -> Self {
        self.kernel = kernel.map(<[u8]>::to_vec);
        self
    }

    /// With this `tasklist.txt` instead of the inputs' names.
    #[must_use]
    pub fn list(mut self, list: impl Into<Vec<u8>>) -> Self {
        self.list = Some(list.into());
        self
    }

    /// Without a watcher: for jobs so large that watching them would be most of the work.
    #[must_use]
    pub fn unwatched(mut self) -> Self {
        self.watched = false;
        self
    }

    /// Puts it into the world's bucket: `job.json` first, `tasklist.txt` last.
    ///
    /// # Panics
    /// If the server refuses.
    pub async fn lay_out<'w>(self, world: &'w World) -> Job<'w> {
        let bucket = world.job_bucket(&self.bucket, &self.prefix).await;
        let settings = self.settings.clone().unwrap_or_default();
        let mut job = Job::open(world, bucket, settings).await;
        job.kernel = self.kernel.clone().unwrap_or_default();
        if let Some(settings) = &self.settings {
            job.put("job.json", settings.to_json()).await;
        }
        if let Some(kernel) = self.kernel {
            job.put("kernel.dat", kernel).await;
        }
        for (name, bytes) in self.inputs {
            job.put_input(&name, bytes).await;
        }
        let list = self
            .list
            .unwrap_or_else(|| job.inputs.keys().map(|name| format!("{name}\n")).collect::<String>().into_bytes());
        job.put("tasklist.txt", list.clone()).await;
        if self.watched {
            job.watch();
            job.expect_lines(&clean_lines(&list));
        }
        job
    }
}

/// A job in a bucket.
pub struct Job<'w> {
    world: &'w World,
    /// Its objects.
    pub bucket: JobBucket,
    /// Its settings.
    pub settings: JobSettings,
    /// Its kernel.
    pub kernel: Vec<u8>,
    /// Its inputs, by name.
    pub inputs: BTreeMap<String, Vec<u8>>,
    /// Inputs whose outputs stood before the job, and are no tasks of it.
    pub done_before: BTreeSet<String>,
    input_store: Arc<dyn Store>,
    output_store: Arc<dyn Store>,
    watcher: Option<Watcher>,
}

impl<'w> Job<'w> {
    /// A job that is there already, or is about to be.
    pub async fn open(world: &'w World, bucket: JobBucket, settings: JobSettings) -> Self {
        let inputs = world.server().store(settings.inputs(&bucket.location).bucket()).await;
        let outputs = world.server().store(settings.outputs(&bucket.location).bucket()).await;
        Self {
            world,
            kernel: content::KERNEL.to_vec(),
            inputs: BTreeMap::new(),
            input_store: inputs,
            output_store: outputs,
            done_before: BTreeSet::new(),
            watcher: None,
            bucket,
            settings,
        }
    }

    /// Takes up a job that was seeded at `bucket`: its settings, its kernel, its inputs, and what was done before.
    ///
    /// # Panics
    /// If any of it is not there.
    pub async fn seeded(world: &'w World, bucket: JobBucket) -> Self {
        let settings = bucket.job_settings().await.expect("settings").expect("job.json");
        let mut job = Self::open(world, bucket, settings).await;
        job.kernel = job.get("kernel.dat").await.expect("a kernel");
        let place = job.settings.inputs(&job.bucket.location).clone();
        for entry in job.input_store.list_all(place.prefix()).await.expect("the inputs") {
            let name = entry.key.strip_prefix(place.prefix()).unwrap_or_default().to_owned();
            if name.starts_with("in") && name.ends_with(".dat") {
                let (_, bytes) = job.input_store.read(&entry.key).await.expect("a read").expect("an input");
                job.inputs.insert(name, bytes.to_vec());
            }
        }
        job.done_before = job.lines(View::Completed).await.into_iter().collect();
        let lines = job.lines(View::Tasklist).await;
        job.watch();
        job.expect_lines(&lines);
        job
    }

    /// Begins to watch.
    pub fn watch(&mut self) {
        self.watcher = Some(Watcher::start(self.bucket.clone(), self.settings.clone(), Arc::clone(&self.output_store)));
    }

    /// Tells the watcher that these lines were added, and must not be lost from now on.
    pub fn expect_lines(&self, lines: &[String]) {
        if let Some(watcher) = &self.watcher {
            watcher.expect(lines);
        }
    }

    /// Where it is.
    pub fn location(&self) -> &Location {
        &self.bucket.location
    }

    /// As the command line takes it.
    pub fn url(&self) -> String {
        self.location().to_string()
    }

    /// An agent to be started on it.
    pub fn agent(&self, name: &str) -> Agent {
        self.world.agent(self.location(), name)
    }

    /// The store that outputs go to.
    pub fn outputs(&self) -> &dyn Store {
        &*self.output_store
    }

    /// Puts an object under the job's prefix, whatever stands there, as a person does.
    ///
    /// # Panics
    /// If the server refuses.
    pub async fn put(&self, name: &str, body: impl Into<Vec<u8>>) {
        let key = self.location().key(name);
        let body: Vec<u8> = body.into();
        let put = self.bucket.store().put(&key, body.into(), &Attributes::default(), &Condition::Overwrite).await;
        assert!(matches!(put, Ok(Outcome::Applied(_))), "putting {key}: {put:?}");
    }

    /// Puts an input where the job looks for it.
    ///
    /// # Panics
    /// If the server refuses.
    pub async fn put_input(&mut self, name: &str, body: Vec<u8>) {
        let key = self.settings.inputs(&self.bucket.location).key(name);
        let put = self.input_store.put(&key, body.clone().into(), &Attributes::default(), &Condition::Overwrite).await;
        assert!(matches!(put, Ok(Outcome::Applied(_))), "putting {key}: {put:?}");
        self.inputs.insert(name.to_owned(), body);
    }

    /// The object under the job's prefix, if it is there.
    ///
    /// # Panics
    /// If the server refuses.
    pub async fn get(&self, name: &str) -> Option<Vec<u8>> {
        let read = self.bucket.store().read(&self.location().key(name)).await.expect("a read");
        read.map(|(_, bytes)| bytes.to_vec())
    }

    /// The output of an input, if it is there.
    ///
    /// # Panics
    /// If the server refuses.
    pub async fn output(&self, input: &str) -> Option<Vec<u8>> {
        let key = self.settings.outputs(&self.bucket.location).key(&output_name(input));
        self.output_store.read(&key).await.expect("a read").map(|(_, bytes)| bytes.to_vec())
    }

    /// The lines of a view.
    ///
    /// # Panics
    /// If the server refuses.
    pub async fn lines(&self, view: View) -> Vec<String> {
        self.bucket.view(view).await.expect("a view").map(|read| clean_lines(&read.text)).unwrap_or_default()
    }

    /// Adds lines to `tasklist.txt` as a person does: reads it, edits it, puts it back, whatever happened meanwhile.
    ///
    /// # Panics
    /// If the server refuses.
    pub async fn add_lines(&self, lines: &[&str]) {
        let mut text = self.get("tasklist.txt").await.unwrap_or_default();
        for line in lines {
            text.extend_from_slice(line.as_bytes());
            text.push(b'\n');
        }
        self.put("tasklist.txt", text).await;
        self.expect_lines(&lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>());
    }

    /// The semaphore of the chunk whose single task is `name`, if it stands.
    ///
    /// # Panics
    /// If the server refuses.
    pub async fn semaphore_of(&self, name: &str) -> Option<Semaphore> {
        let held = self.bucket.held().await.expect("the semaphores");
        held.into_iter().map(|(_, semaphore)| semaphore).find(|s| s.name.as_deref() == Some(name))
    }

    /// The result with the task `name`, if it stands.
    ///
    /// # Panics
    /// If the server refuses.
    pub async fn result_of(&self, name: &str) -> Option<ResultRecord> {
        let results = self.bucket.results().await.expect("the results");
        results.into_iter().find(|result| result.tasks.iter().any(|task| task.name == name))
    }

    /// The records of the agents that were given this name.
    ///
    /// # Panics
    /// If the server refuses.
    pub async fn agents_named(&self, name: &str) -> Vec<AgentRecord> {
        let agents = self.bucket.agents().await.expect("the agents' records");
        let prefix = format!("{name}-");
        agents.into_iter().filter(|a| a.agent.as_str().strip_prefix(&prefix).is_some_and(|id| id.len() == 8)).collect()
    }

    /// Waits for a condition, as long as every guarantee holds.
    ///
    /// # Panics
    /// If it does not come true, or the watcher saw a guarantee broken.
    pub async fn until(&self, what: &str, mut condition: impl AsyncFnMut(&Self) -> bool) {
        self.world
            .until(what, async || {
                self.check();
                condition(self).await
            })
            .await;
    }

    /// Whether every guarantee held so far.
    ///
    /// # Panics
    /// If the watcher saw one broken.
    pub fn check(&self) {
        if let Some(watcher) = &self.watcher {
            watcher.check();
        }
    }

    /// Removes what dead agents left behind, as a person does.
    ///
    /// # Panics
    /// If that fails.
    pub async fn clean(&self) {
        self.world.dayfly(&["clean", &self.url(), "--older-than", "0s", "--yes"]).await.expect(0, &[]);
    }

    /// Waits until the semaphore of the task `name` says that it is being run.
    ///
    /// # Panics
    /// If it never does.
    pub async fn until_announced(&self, name: &str) {
        self.until(&format!("a heartbeat that says that {name} runs"), async |job| {
            job.semaphore_of(name).await.is_some_and(|semaphore| semaphore.running.is_some())
        })
        .await;
    }

    /// Ends the watch and holds the bucket against all guarantees: these names are given up, and every other name of
    /// the plan is done.
    ///
    /// # Panics
    /// If a guarantee is broken.
    pub async fn finish(&mut self, given_up: &[&str]) {
        let evidence = match self.watcher.take() {
            Some(watcher) => watcher.stop().await,
            None => Default::default(),
        };
        invariants::finished(self, given_up, &evidence).await;
    }
}
