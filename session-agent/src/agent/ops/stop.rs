//! Ending a session.

use std::sync::Arc;

use freezeframe_api::Result;
use freezeframe_api::records::{SaveOptions, StopOptions, Stopped};
use zbus::zvariant::OwnedObjectPath;

use crate::agent::job::Cancel;
use crate::agent::sessions::Operation;
use crate::agent::state::{Phase, crashed};
use crate::agent::{Agent, failure};

impl Agent {
    /// Ends a session, saving it first when asked to; of a crashed one, removes what is left.
    pub(crate) async fn stop(self: &Arc<Self>, id: &str, options: StopOptions) -> Result<OwnedObjectPath> {
        if options.save {
            self.can_save()?;
            if self.lock().session(id)?.phase == Phase::Crashed {
                return Err(crashed(id));
            }
        }
        let operation = self.begin(id, if options.save { Phase::Saving } else { Phase::Stopping }).await?;
        let cancel = match operation.control() {
            Ok(control) if options.save => Cancel::Save(control),
            _ => Cancel::No,
        };
        let agent = self.clone();
        self.job("stop", cancel, move |job| async move {
            let session = operation.id.to_string();
            let snapshot = if options.save {
                Some(
                    agent
                        .save_now(&operation, &SaveOptions { stop: true, ..SaveOptions::default() }, &job)
                        .await?
                        .snapshot,
                )
            } else {
                agent.stop_now(&operation).await?;
                None
            };
            Ok(Stopped { session, snapshot })
        })
        .await
    }

    async fn stop_now(&self, operation: &Operation) -> Result<()> {
        if let Ok(control) = operation.control() {
            let answer = control.wrapper.stop().await.map_err(|e| failure::of_call(&e, operation.id.as_str()));
            // A wrapper that is gone has nothing more to say; what it left is removed below.
            if let Err(error) = answer
                && control.status().await.is_ok()
            {
                return Err(error);
            }
        }
        self.ended(operation, Phase::Stopping).await
    }
}
