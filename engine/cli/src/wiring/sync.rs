//! From configuration to one way of a two-way flow.

use std::sync::Arc;

use windlass_core::{Error, Kind, Library, Result, SystemClock};
use windlass_flow::{Flow, Remembered, Sync, SyncHalf, Way};

use super::{Sides, Wiring};
use crate::flows::sync::{SyncConfig, way_in, way_out};

/// Who governs the assets that steps of a flow may delete for good.
pub(super) fn library(flow: &Flow) -> Option<Arc<dyn Library>> {
    match flow {
        Flow::Sync(half) if half.way == Way::In => Some(Arc::clone(&half.sync.library)),
        Flow::Sync(_) | Flow::Ingest(_) | Flow::Release(_) => None,
    }
}

impl Wiring<'_> {
    /// The way of a two-way flow that `name` says.
    pub(super) async fn sync(
        &self,
        name: &str,
        config: &SyncConfig,
        sides: Sides,
        retry_held: bool,
        granted: &[windlass_core::Origin],
    ) -> Result<SyncHalf> {
        let whole = self.layered.config.whole(name);
        let way = match name == whole {
            false if name == way_out(whole) => Way::Out,
            false => Way::In,
            true => {
                let message = format!("flow {name:?} leads both ways");
                return Err(Error::new(Kind::InvalidInput, message).with_hint(format!(
                    "name one of them here: {} or {}",
                    way_in(name),
                    way_out(name)
                )));
            }
        };
        let Some(library) = sides.to.library.clone() else {
            let message = format!(
                "flow.{whole}.to: {} governs no assets, so nothing could come back",
                config.to
            );
            return Err(Error::new(Kind::Config, message).with_hint(
                "these flows are between a Dropbox account or a folder and a CELUM tenant",
            ));
        };
        let assets = Arc::clone(&sides.to.source);
        let back = Sides {
            from: sides.to.clone(),
            to: sides.from.clone(),
            ledger: Arc::clone(&sides.ledger),
            observer: Arc::clone(&sides.observer),
        };
        let mut release = self.release(whole, config, back, retry_held).await?;
        release.options.flow = way_out(whole);
        let mut ingest = self
            .ingest(whole, &config.ingest(), sides, retry_held, granted)
            .await?;
        ingest.options.flow = way_in(whole);
        let sync = Sync {
            options: config.options(whole)?,
            ingest,
            release,
            library,
            assets,
            clock: Arc::new(SystemClock),
            remembered: Remembered::default(),
        };
        Ok(SyncHalf {
            sync: Arc::new(sync),
            way,
        })
    }
}
