//! dayfly on EC2, against a stand-in for AWS (tests/aws_double.py); and the stand-in itself, where tests lean on it.

mod access;
mod cap;
mod clean;
mod commands;
mod court;
mod dollars;
mod double;
mod fleets;
mod forbidden;
mod ground;
mod image;
mod launch;
mod ledger;
mod life;
mod machines;
mod metadata;
mod notices;
mod options;
mod places;
mod policies;
mod reap;
mod refusals;
mod remote;
mod run;
mod setup;
mod teardown;
