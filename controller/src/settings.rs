//! Where each setting comes from: the command line over the environment over what a project says over the defaults. All
//! of it is settled here, once.

use std::path::PathBuf;

use dayfly_shared::job::Location;

use crate::cli::Global;
use crate::failure::{Failure, Result};
use crate::output::Output;

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

/// What a project says where neither command line nor environment do. A project file, once there is one, fills it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Project {
    /// As `--local`.
    pub local: Option<PathBuf>,
    /// As `--endpoint-url`.
    pub endpoint_url: Option<String>,
    /// As `--region`.
    pub region: Option<String>,
    /// As `--profile`.
    pub profile: Option<String>,
    /// As `JOB`.
    pub job: Option<Location>,
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
    project: Project,
}

/// With `--local`, the one job that most people have there.
const LOCAL_JOB: &str = "s3://dayfly/";

impl Settings {
    /// Settles what the command line and the environment say.
    ///
    /// # Errors
    /// Options that contradict each other.
    pub fn resolve(global: &Global) -> Result<Self> {
        Self::over(global, Project::default())
    }

    fn over(global: &Global, project: Project) -> Result<Self> {
        let remote = global.endpoint_url.is_some() || global.region.is_some() || global.profile.is_some();
        let place = match global.local.clone() {
            Some(_) if remote => {
                return Err(Failure::usage(
                    "--local serves a folder, and --endpoint-url, --region and --profile name a \
                                           service",
                )
                .fix("leave out one or the other"));
            }
            Some(dir) => Place::Local(dir),
            None if remote || project.local.is_none() => Place::S3 {
                endpoint_url: global.endpoint_url.clone().or(project.endpoint_url.clone()),
                region: global.region.clone().or(project.region.clone()),
                profile: global.profile.clone().or(project.profile.clone()),
            },
            None => Place::Local(project.local.clone().unwrap_or_default()),
        };
        // https://no-color.org: set and not empty. Bars are escape sequences too.
        let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let output = Output { json: global.json, quiet: global.quiet, progress: !(global.no_progress || plain) };
        Ok(Self { place, output, yes: global.yes, verbose: global.verbose, project })
    }

    /// The job that is meant.
    ///
    /// # Errors
    /// When nothing names one.
    pub fn job(&self, named: Option<&Location>) -> Result<Location> {
        if let Some(job) = named.or(self.project.job.as_ref()) {
            return Ok(job.clone());
        }
        match &self.place {
            Place::Local(_) => LOCAL_JOB.parse().map_err(|e| Failure::usage(format!("{e}"))),
            Place::S3 { .. } => Err(Failure::usage("which job? none is named")
                .fix("pass s3://BUCKET/PREFIX, set DAYFLY_JOB, or use a folder with --local DIR")),
        }
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

    #[test]
    fn the_command_line_outranks_the_project() {
        let project = Project {
            local: Some("there".into()),
            region: Some("eu-west-1".to_owned()),
            job: Some("s3://of-project/".parse().unwrap()),
            ..Project::default()
        };
        let global = Global::default();
        let settings = Settings::over(&global, project.clone()).unwrap();
        assert_eq!(settings.place, Place::Local("there".into()));
        assert_eq!(settings.job(None).unwrap().bucket(), "of-project");
        let global = Global { profile: Some("p".to_owned()), ..Global::default() };
        let settings = Settings::over(&global, project).unwrap();
        let Place::S3 { region, profile, .. } = &settings.place else { panic!("{:?}", settings.place) };
        assert_eq!((region.as_deref(), profile.as_deref()), (Some("eu-west-1"), Some("p")));
        assert_eq!(settings.job(Some(&"s3://named/".parse().unwrap())).unwrap().bucket(), "named");
    }

    #[test]
    fn a_folder_has_a_job_by_default_and_a_service_has_none() {
        let local = Settings::resolve(&Global { local: Some("d".into()), ..Global::default() }).unwrap();
        assert_eq!(local.job(None).unwrap().to_string(), LOCAL_JOB);
        let service = Settings::resolve(&Global::default()).unwrap();
        assert_eq!(service.job(None).unwrap_err().exit(), dayfly_shared::exit::Exit::Usage);
        let both = Global { local: Some("d".into()), region: Some("r".to_owned()), ..Global::default() };
        assert!(Settings::resolve(&both).is_err());
    }
}
