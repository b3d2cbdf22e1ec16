// SPDX-License-Identifier: Apache-2.0
//! Settings of containers (`attributes.containers`).

use std::path::PathBuf;

/// Names of containers (`attributes.containers`).
#[derive(Debug, Clone, confique::Config)]
pub struct ContainersConfig {
    /// Sockets of container engines that are asked for names, images and labels of containers, one after the other until
    /// one knows the container; those that do not exist when vor starts are left alone. `containerd.sock` speaks the API
    /// of containerd, `crio.sock` that of runtimes of Kubernetes (CRI), any other name that of Docker, as podman does. An
    /// empty list: nobody is asked.
    #[config(
        default = [
            "/var/run/docker.sock",
            "/run/podman/podman.sock",
            "/run/containerd/containerd.sock",
            "/run/k3s/containerd/containerd.sock",
            "/run/crio/crio.sock",
        ],
        env = "CONTAINER_SOCKETS"
    )]
    pub sockets: Vec<PathBuf>,
}
