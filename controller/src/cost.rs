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
