//! What the end-to-end tests are made of: S3 servers, a proxy that breaks requests, dayfly's programs as processes, and
//! the guarantees as functions that read the bucket; and for EC2 a stand-in for AWS, machines with agents on them, and
//! IAM's judgement of the calls that were made.
//!
//! A test gets a [`World`]: one server, one folder, programs that die with it. It lays out a [`Job`], starts programs,
//! and ends with [`Job::finish`], which holds the bucket against every guarantee; while it runs, a [`watcher`] does so
//! again and again. Nothing sleeps for a fixed time: what takes time is waited for with [`World::until`].

pub mod aws;
pub mod browser;
pub mod commands;
pub mod content;
pub mod fabric;
pub mod instances;
pub mod invariants;
pub mod job;
pub mod listener;
pub mod metadata;
pub mod orphans;
pub mod page;
pub mod policy;
pub mod program;
pub mod programs;
pub mod proxy;
pub mod server;
pub mod terminal;
pub mod watcher;
pub mod world;

pub use aws::{Aws, Machine, Trouble};
pub use instances::Instances;
pub use job::{Job, Layout, short_lease};
pub use metadata::Metadata;
pub use program::{Agent, Ended, Program};
pub use proxy::{Fault, Gate, Proxy, Rule};
pub use server::{Kind, Server};
pub use world::{World, run};

/// Defines one test on every S3 server: `on_endpoint` and `on_moto` in a module of the test's name.
///
/// ```ignore
/// everywhere! {
///     /// What it shows.
///     async fn its_name(world: &World) { … }
/// }
/// ```
#[macro_export]
macro_rules! everywhere {
    ($($(#[$meta:meta])* async fn $name:ident($world:ident: $type:ty) $body:block)*) => {$(
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports, reason = "not every test needs all of its file's imports")]
            use super::*;

            async fn body($world: $type) $body

            #[test]
            fn on_endpoint() {
                $crate::run($crate::Kind::Endpoint, body);
            }

            #[test]
            fn on_moto() {
                $crate::run($crate::Kind::Moto, body);
            }
        }
    )*};
}

/// Defines one test on dayfly's own endpoint alone, where moto cannot show it; the test's comment says why.
#[macro_export]
macro_rules! on_endpoint {
    ($($(#[$meta:meta])* async fn $name:ident($world:ident: $type:ty) $body:block)*) => {$(
        $(#[$meta])*
        #[test]
        fn $name() {
            async fn body($world: $type) $body
            $crate::run($crate::Kind::Endpoint, body);
        }
    )*};
}
