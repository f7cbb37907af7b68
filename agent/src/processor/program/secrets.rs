//! The secrets of a program: fetched when a task starts, handed to it as variables, and kept nowhere.

use std::collections::BTreeMap;

use dayfly_shared::secret::NoSecret;

use super::Program;
use crate::processor::Failure;

impl Program {
    /// The secrets that the job's program is given, by the names of its variables.
    ///
    /// # Errors
    /// One that cannot be had: no task would fare better, so nothing is begun. A service that is silent puts the task off.
    pub async fn secrets(&self) -> Result<BTreeMap<String, String>, Failure> {
        let mut all = BTreeMap::new();
        for (variable, name) in &self.settings.secrets {
            let vault = self.workshop.vault.as_ref();
            let vault = vault.ok_or_else(|| Failure::Refused(format!("this agent has no way to the secret {name}")))?;
            let value = vault.fetch(name).await.map_err(|error| match error {
                NoSecret::Refused(why) => Failure::Refused(why),
                NoSecret::Silent(why) => Failure::Later(why),
            })?;
            if value.contains('\0') {
                let why = format!("the secret {name} holds a zero byte, and cannot be the variable {variable}");
                return Err(Failure::Refused(why));
            }
            all.insert(variable.clone(), value);
        }
        Ok(all)
    }

    /// Makes sure that they can be had, before anything is claimed. A service that is silent now may not be later.
    ///
    /// # Errors
    /// One that cannot be had.
    pub async fn look_for_secrets(&self) -> Result<(), Failure> {
        match self.secrets().await {
            Err(Failure::Later(why)) => tracing::warn!(why, "looking for the program's secrets"),
            outcome => _ = outcome?,
        }
        Ok(())
    }
}
