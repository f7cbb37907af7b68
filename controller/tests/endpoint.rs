//! The S3 store against the S3 endpoint: the real protocol, over real connections.

#[path = "endpoint/answers.rs"]
mod answers;
#[path = "endpoint/bodies.rs"]
mod bodies;
#[path = "endpoint/errors.rs"]
mod errors;
#[path = "endpoint/raw.rs"]
mod raw;
#[path = "endpoint/rig.rs"]
mod rig;
#[path = "endpoint/semantics.rs"]
mod semantics;
