//! The policies of a deployment, as pure functions of its record: who may be the agents' role, what the role may do, what
//! the bucket holds it to, and what the people who set up and who run need.
//!
//! Actions and condition keys are those of the Service Authorization Reference, in the page of each service ("Actions,
//! resources, and condition keys for …"); the conditional writes are of the S3 user guide, "Enforce conditional writes".

mod agent;
mod bucket;
mod document;
mod operator;
mod secrets;

pub use agent::{inline, trust};
pub use bucket::{is_suspicious, sid_prefix, statements, unserved};
pub use document::{MANAGED_SSM, dns_suffix, document, merged, others, partition, without};
pub use operator::{image, run, setup};
pub use secrets::is_secret;

#[cfg(test)]
pub(crate) use document::sample;
