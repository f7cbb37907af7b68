//! The S3 store against the S3 endpoint: the real protocol, over real connections.

#[path = "endpoint/answers.rs"]
mod answers;
#[path = "endpoint/bodies.rs"]
mod bodies;
#[path = "endpoint/conformance.rs"]
mod conformance;
#[path = "endpoint/errors.rs"]
mod errors;
#[path = "endpoint/odd_stores.rs"]
mod odd_stores;
#[path = "endpoint/raw.rs"]
mod raw;
#[path = "endpoint/rig.rs"]
mod rig;
#[path = "endpoint/semantics.rs"]
mod semantics;
