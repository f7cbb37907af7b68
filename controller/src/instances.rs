//! `dayfly ps`, `stop`, `start`, `terminate`, `reap`.

use dayfly_shared::exit::Exit;

use crate::cli::{ManageArgs, PsArgs, ReapArgs};
use crate::failure::{Failure, Result};
use crate::parts::Parts;

/// `dayfly ps`.
///
/// # Errors
/// Always, for now.
pub async fn ps(_parts: &Parts, _args: &PsArgs) -> Result<Exit> {
    Err(Failure::new("dayfly ps is not there yet"))
}

/// `dayfly stop`.
///
/// # Errors
/// Always, for now.
pub async fn stop(_parts: &Parts, _args: &ManageArgs) -> Result<Exit> {
    Err(Failure::new("dayfly stop is not there yet"))
}

/// `dayfly start`.
///
/// # Errors
/// Always, for now.
pub async fn start(_parts: &Parts, _args: &ManageArgs) -> Result<Exit> {
    Err(Failure::new("dayfly start is not there yet"))
}

/// `dayfly terminate`.
///
/// # Errors
/// Always, for now.
pub async fn terminate(_parts: &Parts, _args: &ManageArgs) -> Result<Exit> {
    Err(Failure::new("dayfly terminate is not there yet"))
}

/// `dayfly reap`.
///
/// # Errors
/// Always, for now.
pub async fn reap(_parts: &Parts, _args: &ReapArgs) -> Result<Exit> {
    Err(Failure::new("dayfly reap is not there yet"))
}
