//! The program `dayfly` as its users meet it, on jobs in temporary folders.

#[path = "cli/rig.rs"]
mod rig;

#[path = "cli/control.rs"]
mod control;
#[path = "cli/doctor.rs"]
mod doctor;
#[path = "cli/fetch.rs"]
mod fetch;
#[path = "cli/leftovers.rs"]
mod leftovers;
#[path = "cli/redo.rs"]
mod redo;
#[path = "cli/retry.rs"]
mod retry;
#[path = "cli/seed.rs"]
mod seed;
#[path = "cli/service.rs"]
mod service;
#[path = "cli/status.rs"]
mod status;
