// SPDX-License-Identifier: Apache-2.0
//! Ports nobody uses: below the range from which the kernel takes those of outgoing connections.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::until::until;

const FIRST: u16 = 20_000;
const LAST: u16 = 32_000;

/// Two runs at the same time begin at different places.
static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(fastrand::u16(FIRST..LAST)));

/// A port on which nobody listens, a different one each time.
pub fn free() -> Result<u16> {
    (FIRST..LAST)
        .map(|_| FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % (LAST - FIRST))
        .find(|port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).is_ok())
        .context("no port is free")
}

/// Waits until somebody listens on `port` of this host.
pub fn open(port: u16, limit: Duration) -> Result<()> {
    until(format!("port {port} opens"), limit, || {
        Ok(TcpStream::connect(("localhost", port)).is_ok())
    })
}
