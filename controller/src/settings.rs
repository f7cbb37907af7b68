//! Where each setting comes from: the command line over the environment over what a project says over the defaults. All
//! of it is settled here, once.

pub mod files;

use std::path::PathBuf;

use dayfly_shared::job::Location;

use crate::cli::Global;
use crate::failure::{Failure, Result};
use crate::output::Output;

use files::{Layer, Layers};

/// Where buckets are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Folders in this folder, one a bucket.
    Local(PathBuf),
    /// An S3 service; what is none comes from where the AWS tools take it.
    S3 {
        /// The service's URL.
        endpoint_url: Option<String>,
        /// The buckets' region.
        region: Option<String>,
        /// The profile of `~/.aws/config`.
        profile: Option<String>,
    },
}

/// The settings that every command shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where buckets are.
    pub place: Place,
    /// Where words go.
    pub output: Output,
    /// Do not ask.
    pub yes: bool,
    /// How much of the log is wanted: 0 warnings, 1 what happens, 2 everything.
    pub verbose: u8,
    layers: Layers,
    remote_flags: [Option<String>; 3],
}

/// Where the AWS library looks for a service's URL, a region and a profile of its own.
const ENDPOINT: [&str; 2] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];
const REGION: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];
const PROFILE: [&str; 1] = ["AWS_PROFILE"];
const KEYS: &str = "AWS_ACCESS_KEY_ID";

/// A setting and where it came from.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Source {
    /// Its name, as files have it.
    pub setting: &'static str,
    /// Its value; none where nothing says one.
    pub value: Option<String>,
    /// The flag, the variable or the file that says it.
    pub from: Option<String>,
}

impl Source {
    fn of(setting: &'static str, found: Option<(String, String)>) -> Self {
        let (value, from) = found.unzip();
        Self { setting, value, from }
    }
}

/// With `--local`, the one job that most people have there.
const LOCAL_JOB: &str = "s3://dayfly/";

impl Settings {
    /// Settles what the command line, the environment, a project's file and a profile say.
    ///
    /// # Errors
    /// Options that contradict each other, files that cannot be read.
    pub fn resolve(global: &Global) -> Result<Self> {
        Self::over(global, Layers::read(global.settings.as_deref())?, &|name| std::env::var(name).ok())
    }

    fn over(global: &Global, layers: Layers, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let remote = global.endpoint_url.is_some() || global.region.is_some() || global.profile.is_some();
        let file = layers.merged();
        // What stands in the environment outranks files, and the AWS library reads it by itself.
        let unless = |names: &[&str], value: &Option<String>| {
            let stands = names.iter().any(|name| variable(name).is_some_and(|value| !value.is_empty()));
            value.clone().filter(|_| !stands)
        };
        let place = match global.local.clone() {
            Some(_) if remote => {
                return Err(Failure::usage(
                    "--local serves a folder, and --endpoint-url, --region and --profile name a \
                                           service",
                )
                .fix("leave out one or the other"));
            }
            Some(dir) => Place::Local(dir),
            None if remote || file.local.is_none() => Place::S3 {
                endpoint_url: global.endpoint_url.clone().or_else(|| unless(&ENDPOINT, &file.endpoint_url)),
                region: global.region.clone().or_else(|| unless(&REGION, &file.region)),
                // Keys of the environment outrank a file's profile too; only a flag means a profile whatever stands there.
                profile: global.profile.clone().or_else(|| unless(&[PROFILE[0], KEYS], &file.profile)),
            },
            None => Place::Local(file.local.clone().unwrap_or_default()),
        };
        let output = Output::of(global);
        let remote_flags = [global.endpoint_url.clone(), global.region.clone(), global.profile.clone()];
        Ok(Self { place, output, yes: global.yes, verbose: global.verbose, layers, remote_flags })
    }

    /// The profile of `~/.aws/config` that is used, where one is named.
    pub fn profile(&self) -> Option<String> {
        let Place::S3 { profile, .. } = &self.place else { return None };
        let named = || std::env::var(PROFILE[0]).ok().filter(|name| !name.is_empty());
        profile.clone().or_else(named)
    }

    /// A command for this job as a person would type it.
    pub fn command(&self, verb: &str, job: &Location) -> String {
        match &self.place {
            Place::Local(dir) if job.to_string() == LOCAL_JOB => format!("dayfly {verb} --local {}", dir.display()),
            Place::Local(dir) => format!("dayfly {verb} --local {} {job}", dir.display()),
            Place::S3 { .. } => format!("dayfly {verb} {job}"),
        }
    }

    /// The job that is meant.
    ///
    /// # Errors
    /// When nothing names one.
    pub fn job(&self, named: Option<&Location>) -> Result<Location> {
        if let Some(job) = named.cloned().or_else(|| self.filed_job()) {
            return Ok(job);
        }
        match &self.place {
            Place::Local(_) => LOCAL_JOB.parse().map_err(|e| Failure::usage(format!("{e}"))),
            Place::S3 { .. } => {
                let failure = Failure::usage("which job? none is named")
                    .fix("pass s3://BUCKET/PREFIX, set DAYFLY_JOB, or use a folder with --local DIR");
                Err(match self.layers.unused.as_slice() {
                    [] => failure,
                    // Which of several is meant is not guessed; at a terminal somebody is asked.
                    several => failure.choose(several),
                })
            }
        }
    }

    /// The job that a file names. One that lies in a service is not meant by who names a folder.
    fn filed_job(&self) -> Option<Location> {
        let file = self.layers.merged();
        match &self.place {
            Place::Local(dir) if file.local.as_ref() != Some(dir) => None,
            _ => file.job,
        }
    }

    /// Every setting that a file may hold, its value, and where that came from.
    pub fn sources(&self) -> Vec<Source> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let first = |names: &[&'static str]| names.iter().find_map(|name| Some((variable(name)?, (*name).to_owned())));
        let flagged = |n: usize, flag: &str| self.remote_flags[n].clone().map(|value| (value, flag.to_owned()));
        let filed = |pick: fn(&Layer) -> Option<String>| self.layers.find(pick);
        let serves = matches!(self.place, Place::Local(_));
        let local = match &self.place {
            Place::Local(dir) => {
                let dir = dir.display().to_string();
                let text = |layer: &Layer| layer.local.as_ref().map(|dir| dir.display().to_string());
                match variable("DAYFLY_LOCAL").filter(|value| *value == dir) {
                    Some(value) => Some((value, "DAYFLY_LOCAL".to_owned())),
                    None => filed(text).filter(|(value, _)| *value == dir).or(Some((dir, "--local".to_owned()))),
                }
            }
            Place::S3 { .. } => None,
        };
        let service = |flag: Option<(String, String)>, names: &[&'static str], pick: fn(&Layer) -> Option<String>| {
            flag.or_else(|| first(names)).or_else(|| filed(pick)).filter(|_| !serves)
        };
        let job = first(&["DAYFLY_JOB"]).or_else(|| {
            self.filed_job()?;
            filed(|layer| layer.job.as_ref().map(ToString::to_string))
        });
        let profile = service(flagged(2, "--profile"), &PROFILE, |layer| layer.profile.clone());
        let profile = profile
            .filter(|(_, from)| from.starts_with("--") || PROFILE.contains(&from.as_str()) || variable(KEYS).is_none());
        let all = [
            ("job", job),
            ("local", local),
            ("endpoint_url", service(flagged(0, "--endpoint-url"), &ENDPOINT, |layer| layer.endpoint_url.clone())),
            ("region", service(flagged(1, "--region"), &REGION, |layer| layer.region.clone())),
            ("profile", profile),
        ];
        all.into_iter().map(|(setting, found)| Source::of(setting, found)).collect()
    }

    /// The profiles that there are and none of which is used, as nobody said which.
    pub fn unused_profiles(&self) -> &[String] {
        &self.layers.unused
    }
}

/// Sends the log of the program's inside to standard error.
pub fn log_to_stderr(settings: &Settings) {
    use tracing::level_filters::LevelFilter;
    use tracing_subscriber::filter::Targets;
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::util::SubscriberInitExt as _;
    let (own, others) = match settings.verbose {
        0 => (LevelFilter::ERROR, LevelFilter::OFF),
        1 => (LevelFilter::INFO, LevelFilter::WARN),
        _ => (LevelFilter::DEBUG, LevelFilter::INFO),
    };
    let targets = ["dayfly_controller", "dayfly_shared"].map(|name| (name, own));
    let filter = Targets::new().with_targets(targets).with_default(others);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    // A second call, as in tests that run commands in one process, finds it set up.
    let _ = tracing_subscriber::registry().with(lines).with(filter).try_init();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(from: &str) -> Layer {
        Layer { from: from.to_owned(), ..Layer::default() }
    }

    fn none(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn each_outranks_the_next() {
        let project = Layer {
            local: Some("there".into()),
            region: Some("eu-west-1".to_owned()),
            job: Some("s3://of-project/".parse().unwrap()),
            ..layer("dayfly.toml")
        };
        let layers = Layers { all: vec![project], unused: Vec::new() };
        let global = Global::default();
        let settings = Settings::over(&global, layers.clone(), &none).unwrap();
        assert_eq!(settings.place, Place::Local("there".into()));
        assert_eq!(settings.job(None).unwrap().bucket(), "of-project");
        let global = Global { profile: Some("p".to_owned()), ..Global::default() };
        let settings = Settings::over(&global, layers.clone(), &none).unwrap();
        let Place::S3 { region, profile, .. } = &settings.place else { panic!("{:?}", settings.place) };
        assert_eq!((region.as_deref(), profile.as_deref()), (Some("eu-west-1"), Some("p")));
        assert_eq!(settings.job(Some(&"s3://named/".parse().unwrap())).unwrap().bucket(), "named");
        let global = Global { local: Some("elsewhere".into()), ..Global::default() };
        let settings = Settings::over(&global, layers.clone(), &none).unwrap();
        assert_eq!(settings.job(None).unwrap().to_string(), LOCAL_JOB, "the file's job is not in this folder");
        let global = Global { profile: Some("p".to_owned()), ..Global::default() };
        // The environment outranks files: the library reads it, where no value is handed to it.
        let settings =
            Settings::over(&global, layers, &|name| (name == "AWS_REGION").then(|| "us-east-1".to_owned())).unwrap();
        let Place::S3 { region, .. } = &settings.place else { panic!("{:?}", settings.place) };
        assert_eq!(region.as_deref(), None);
    }

    #[test]
    fn a_profile_fills_what_a_project_leaves_open() {
        let project = Layer { region: Some("eu-west-1".to_owned()), ..layer("dayfly.toml") };
        let profile = Layer {
            local: Some("there".into()),
            region: Some("us-east-1".to_owned()),
            profile: Some("work".to_owned()),
            ..layer("profile")
        };
        let layers = Layers { all: vec![project, profile], unused: Vec::new() };
        let merged = layers.merged();
        assert_eq!((merged.local, merged.region.as_deref()), (None, Some("eu-west-1")), "a service outranks a folder");
        assert_eq!(merged.profile.as_deref(), Some("work"));
    }

    #[test]
    fn a_folder_has_a_job_by_default_and_a_service_has_none() {
        let local = Settings::resolve(&Global { local: Some("d".into()), ..Global::default() }).unwrap();
        let job = local.job(None).unwrap();
        assert_eq!(job.to_string(), LOCAL_JOB);
        assert_eq!(local.command("launch", &job), "dayfly launch --local d");
        let service = Settings::resolve(&Global::default()).unwrap();
        assert_eq!(service.job(None).unwrap_err().exit(), dayfly_shared::exit::Exit::Usage);
        let both = Global { local: Some("d".into()), region: Some("r".to_owned()), ..Global::default() };
        assert!(Settings::resolve(&both).is_err());
    }
}
