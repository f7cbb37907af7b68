//! The proofs of dayfly's protocol. They run the very types and the very driver that the agent runs:
//!
//! * [`model`]: every reachable state of small fleets, by search;
//! * [`simulator`]: whole fleets, one thread, one seed, faults everywhere;
//! * [`scale`]: what a million tasks cost on thousands of agents.

pub mod model;
pub mod scale;
pub mod simulator;
