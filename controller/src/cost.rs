//! `dayfly cost`.

use dayfly_shared::exit::Exit;

use crate::cli::CostArgs;
use crate::failure::{Failure, Result};
use crate::parts::Parts;

/// `dayfly cost`.
///
/// # Errors
/// Always, for now.
pub async fn cost(_parts: &Parts, _args: &CostArgs) -> Result<Exit> {
    Err(Failure::new("dayfly cost is not there yet"))
}

/// What a job has cost so far, in dollars; none: it cannot be known. `dayfly run` asks now and then, and drains the job at
/// its cap. This is the one call site of prices there; the estimate itself is not written yet.
pub async fn spent(_parts: &Parts, _job: &dayfly_shared::job::Location) -> Option<f64> {
    None
}
