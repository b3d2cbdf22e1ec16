// SPDX-License-Identifier: Apache-2.0
//! `vor-apiserver`: the API server for tests as a program.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use vor_apiserver::{ApiServer, Options, WISHES};

/// Serves the API of a Kubernetes cluster that exists in memory only.
#[derive(Debug, Parser)]
#[command(after_long_help = format!("Wishes, on the control port:\n{WISHES}"))]
struct Cli {
    /// Port for HTTP; 0: any.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Port for HTTPS; 0: any.
    #[arg(long, default_value_t = 0)]
    tls_port: u16,
    /// Port for wishes; 0: any.
    #[arg(long, default_value_t = 0)]
    control_port: u16,
    /// The token of an account that may do everything.
    #[arg(long, default_value = "admin")]
    token: String,
    /// Changes of each kind that are remembered.
    #[arg(long, default_value_t = 20_000)]
    history: usize,
    /// Milliseconds between the bookmarks of a watch.
    #[arg(long, default_value_t = 10_000)]
    bookmarks: u64,
    /// A folder for ca.crt, token and kubeconfig.
    #[arg(long)]
    access: Option<PathBuf>,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let server = ApiServer::start(&Options {
        port: cli.port,
        tls_port: cli.tls_port,
        control_port: cli.control_port,
        token: cli.token,
        history: cli.history,
        bookmarks: Duration::from_millis(cli.bookmarks.max(1)),
    })?;
    if let Some(folder) = &cli.access {
        server.write_access(folder)?;
    }
    let mut out = std::io::stdout();
    writeln!(out, "{}\n{}\n{}", server.url(), server.https_url(), server.control_url())?;
    out.flush()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    })
}
