//! AWS, connected to when it is first needed: most jobs need nothing of it but their bucket.

use std::sync::Arc;

use tokio::sync::OnceCell;

use super::Services;
use crate::clock::Clock;
use crate::store::{S3Settings, sdk_config};

/// AWS, by the settings that the store is reached with.
pub struct Account {
    store: S3Settings,
    region: Option<String>,
    clock: Arc<dyn Clock>,
    services: OnceCell<Arc<Services>>,
}

impl Account {
    /// Nothing is asked yet. `region`: of the machine, where that is known better than by the settings.
    pub fn new(store: S3Settings, region: Option<String>, clock: Arc<dyn Clock>) -> Self {
        Self { store, region, clock, services: OnceCell::new() }
    }

    /// Time.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Its services.
    ///
    /// # Errors
    /// No region; an endpoint that is no URL.
    pub async fn services(&self) -> Result<&Arc<Services>, String> {
        self.services
            .get_or_try_init(|| async {
                let config = sdk_config(&self.store, Arc::clone(&self.clock)).await.map_err(|e| e.to_string())?;
                Ok(Arc::new(Services::new(&config, self.region.as_deref(), Arc::clone(&self.clock))?))
            })
            .await
    }
}
