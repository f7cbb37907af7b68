//! dayfly on EC2, against a stand-in for AWS (tests/aws_double.py); and the stand-in itself, where tests lean on it.

mod access;
mod double;
mod fleets;
mod ground;
mod launch;
mod life;
mod machines;
mod metadata;
mod notices;
mod places;
mod policies;
mod reap;
mod refusals;
mod remote;
mod run;
mod setup;
mod teardown;
