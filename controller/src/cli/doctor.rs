//! The options of `dayfly doctor`.

use std::time::Duration;

use clap::Args;
use dayfly_shared::job::Location;

use crate::human::parse_duration;

const RACES: &str = "Races";

/// `dayfly doctor`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  \
    dayfly doctor s3://my-bucket/anything\n  \
    dayfly doctor s3://my-bucket/x --endpoint-url https://objects.example.org\n  \
    dayfly doctor --local demo\n\n\
    It works below scratch/ in that place and removes what it put there, also after Ctrl-C. On Amazon S3 it takes one or \
    two minutes and some 10 cents of requests. Exit code 0: safe; 1: not safe, or it could not be found out.")]
pub struct DoctorArgs {
    /// The bucket, and a prefix in it, as s3://BUCKET/PREFIX
    #[arg(value_name = "PLACE", env = "DAYFLY_JOB")]
    pub place: Option<Location>,
    /// Rounds of each race; a thousand show a store that loses 1 race in 200 with 99.3 %
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = RACES)]
    pub rounds: u32,
    /// Begin no further rounds after this time
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration, help_heading = RACES)]
    pub time_limit: Duration,
}
