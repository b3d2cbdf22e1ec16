// SPDX-License-Identifier: Apache-2.0
//! Settings of containers (`attributes.containers`).

use std::path::PathBuf;

/// Names of containers (`attributes.containers`).
#[derive(Debug, Clone, confique::Config)]
pub struct ContainersConfig {
    /// Sockets of container engines that are asked for names, images and labels of containers; those that do not exist
    /// when vor starts are left alone. They speak the API of Docker, as podman does. An empty list: nobody is asked.
    #[config(
        default = ["/var/run/docker.sock", "/run/podman/podman.sock"],
        env = "CONTAINER_SOCKETS"
    )]
    pub sockets: Vec<PathBuf>,
}
