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

/// What a job has cost so far, in dollars; none: it cannot be known. It is asked where a job has a cap; the bill itself is
/// not written yet.
pub async fn spent(_parts: &Parts, _job: &dayfly_shared::job::Location) -> Option<f64> {
    None
}
