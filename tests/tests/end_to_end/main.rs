//! dayfly's programs as processes, over S3.

mod death;
mod life;
mod names;
mod people;
mod refusals;
