// SPDX-License-Identifier: Apache-2.0
//! `vor run`: observes what settings select until it is told to stop.

use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};
use vor_export::print::Output;

use crate::{
    cli::SettingsArgs,
    config::{self, no_color},
    log,
    wire::{Agent, Whom},
};

/// Runs until SIGINT or SIGTERM.
pub(crate) fn run(args: &SettingsArgs) -> anyhow::Result<()> {
    let loaded = config::load(args)?;
    log::start(loaded.settings.log_level);
    for warning in &loaded.warnings {
        warn!("{warning}");
    }
    runtime()?.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let agent = Agent::start(&loaded.settings, &Whom::Selected, Output::stdout(no_color()))?;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        info!("stopping");
        agent.stop().await;
        Ok(())
    })
}

/// One thread for the pipeline and all exporters: they wait far more than they work.
pub(super) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
