//! The few calls of an agent besides S3's (`dayfly_shared::services`): no further SDK is linked for them.

mod ec2;
mod ecr;
mod logs;

pub use ec2::Ec2Fleet;
pub use ecr::EcrLogins;
pub use logs::{Lines, LogGroup};
