//! The wall between programs and the instance's metadata service, which hands out the credentials of the instance's role.
//! It is a routing rule by user, made by the image (`ami/lib/wall`); here it is only looked whether it holds.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use crate::processor::Failure;
use crate::supervisor::User;

/// The word on the command line by which the agent runs itself as the programs' user.
pub const WORD: &str = "try-metadata";

/// Where the service is (EC2 user guide, "Access instance metadata"): it has the second only on Nitro instances that were
/// told so.
const SERVICES: [&str; 2] = ["169.254.169.254:80", "[fd00:ec2::254]:80"];
/// It answers within a millisecond where there is one.
const PATIENCE: Duration = Duration::from_secs(1);
/// What the trial's exit code says: it was reached. No other end of it has this one.
const REACHED: u8 = 42;

/// Tries to reach the service, as whoever runs this.
pub fn try_metadata() -> ExitCode {
    if is_reached() { ExitCode::from(REACHED) } else { ExitCode::SUCCESS }
}

fn is_reached() -> bool {
    SERVICES.into_iter().any(|address| {
        let address: Option<SocketAddr> = address.parse().ok();
        address.is_some_and(|address| TcpStream::connect_timeout(&address, PATIENCE).is_ok())
    })
}

/// Finds out whether programs of this user are cut off from the service, or there is none.
///
/// # Errors
/// They are not: whoever wrote the program would have the machine's rights.
pub fn hold(agent: &Path, user: User) -> Result<(), Failure> {
    // Off EC2 there is nothing to cut off.
    if !is_reached() {
        return Ok(());
    }
    let User { uid, gid } = user;
    let mut trial = Command::new(agent);
    trial.arg(WORD).env_clear().uid(uid).gid(gid).current_dir("/");
    trial.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match trial.status() {
        Ok(status) if status.code() == Some(REACHED.into()) => Err(Failure::Refused(format!(
            "programs of user {uid} reach the metadata service, and with it the credentials of this machine's role; cut them \
             off (ip rule add pref 100 uidrange {uid}-{uid} to 169.254.169.254 prohibit, and -6 for fd00:ec2::254), or leave \
             --run-as out if they may have them"
        ))),
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::Refused(format!(
            "{} cannot be run as user {uid}: {error}; it has to be readable for all, with the folders above it",
            agent.display()
        ))),
    }
}
