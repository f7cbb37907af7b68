//! A folder of buckets as an S3 endpoint, with the faults that `dayfly serve` does not offer. Keys come from the
//! environment, as for any S3 client; it ends when standard input does. A line there is answered by the requests so far,
//! by operation, as JSON.
//!
//! `dayfly-test-endpoint FOLDER PORT [--ignore-conditions | --one-in N]`; `DAYFLY_SEED` decides which ones of N.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use dayfly_controller::endpoint::{BucketDirectory, Endpoint, EndpointSettings, Lossy};
use dayfly_shared::clock::{Clock, SystemClock};

/// One and the same unless told.
fn seed() -> Result<u64, std::num::ParseIntError> {
    std::env::var("DAYFLY_SEED").map_or(Ok(1), |seed| seed.parse())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [root, port, faults @ ..] = arguments.as_slice() else { return Err("FOLDER PORT [fault]".into()) };
    let keys = (std::env::var("AWS_ACCESS_KEY_ID")?, std::env::var("AWS_SECRET_ACCESS_KEY")?);
    let mut settings = EndpointSettings::new(keys.0, keys.1);
    match faults {
        [] => {}
        [fault] if fault == "--ignore-conditions" => settings.ignore_conditions = true,
        [fault, n] if fault == "--one-in" => {
            settings.lossy_conditions = Some(Lossy { one_in: n.parse()?, seed: seed()? });
        }
        other => return Err(format!("unknown fault {other:?}").into()),
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let buckets = BucketDirectory::new(Path::new(root), Arc::clone(&clock))?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse()?));
    let endpoint = Endpoint::serve(buckets, address, settings, clock, std::future::pending()).await?;
    println!("{}", endpoint.url());
    let (asked, mut questions) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        // Nobody listens any more once this process ends.
        std::io::stdin().lines().map_while(Result::ok).try_for_each(|_| asked.send(()))
    });
    while questions.recv().await.is_some() {
        println!("{}", serde_json::to_string(&endpoint.requests())?);
    }
    endpoint.stop().await;
    Ok(())
}
