//! `dayfly exec`, `connect`.

use dayfly_shared::exit::Exit;

use crate::cli::{ConnectArgs, ExecArgs};
use crate::failure::{Failure, Result};
use crate::parts::Parts;

/// `dayfly exec`.
///
/// # Errors
/// Always, for now.
pub async fn exec(_parts: &Parts, _args: &ExecArgs) -> Result<Exit> {
    Err(Failure::new("dayfly exec is not there yet"))
}

/// `dayfly connect`.
///
/// # Errors
/// Always, for now.
pub async fn connect(_parts: &Parts, _args: &ConnectArgs) -> Result<Exit> {
    Err(Failure::new("dayfly connect is not there yet"))
}
