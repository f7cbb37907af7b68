//! `dayfly setup`, `teardown`.

use dayfly_shared::exit::Exit;

use crate::cli::{SetupArgs, TeardownArgs};
use crate::failure::{Failure, Result};
use crate::parts::Parts;

/// `dayfly setup`.
///
/// # Errors
/// Always, for now.
pub async fn setup(_parts: &Parts, _args: &SetupArgs) -> Result<Exit> {
    Err(Failure::new("dayfly setup is not there yet"))
}

/// `dayfly teardown`.
///
/// # Errors
/// Always, for now.
pub async fn teardown(_parts: &Parts, _args: &TeardownArgs) -> Result<Exit> {
    Err(Failure::new("dayfly teardown is not there yet"))
}
