//! dayfly's programs as processes, over S3.

mod death;
mod life;
