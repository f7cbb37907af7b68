//! `dayfly teardown`
use crate::cli::TeardownArgs;
use crate::failure::{Failure, Result};
use crate::parts::Parts;
use dayfly_shared::exit::Exit;
use dayfly_shared::job::Location;
pub async fn command(_parts: &Parts, _args: &TeardownArgs, _place: &Location) -> Result<Exit> {
    Err(Failure::new("dayfly teardown is not there yet"))
}
