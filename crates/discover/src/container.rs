// SPDX-License-Identifier: Apache-2.0
//! Which container a process is in, by the path of its control group.
//!
//! Every runtime names the group of a container after the container's id, 64 hexadecimal digits:
//!
//! | Runtime | Last parts of the path |
//! |---|---|
//! | Docker | `docker/ID`, `system.slice/docker-ID.scope` |
//! | containerd, by Kubernetes | `kubepods/burstable/podUID/ID`, `….slice/cri-containerd-ID.scope`, `….slice:cri-containerd:ID` |
//! | CRI-O | `….slice/crio-ID.scope`, `crio-ID.scope/container` |
//! | podman | `machine.slice/libpod-ID.scope`, `user@1000.service/user.slice/libpod-ID.scope/container` |
//! | ECS | `ecs/TASK/ID`, on Fargate `ecs/TASK/TASK-NUMBER` |
//!
//! A container may run containers; the innermost one counts. A group above may be hidden (`/../../`) when vor has a
//! control group namespace of its own. Monitors of a container (`crio-conmon-ID`) are not in it.

use std::sync::Arc;

use vor_model::Lookup;

/// Who knows what containers are. Asked by the thread that watches, so it answers at once.
pub trait Containers: Send + Sync {
    /// What is known of a container.
    fn find(&self, container: &Arc<str>) -> Lookup;
    /// Rises when an answer may be another than before.
    fn revision(&self) -> u64;
}

const ID_DIGITS: usize = 64;
/// Hexadecimal digits of a task's id in front of the number of one of its containers.
const TASK_DIGITS: usize = 32;

/// The id of the container whose group is named in `/proc/PID/cgroup`.
pub(crate) fn id(cgroup: &str) -> Option<Arc<str>> {
    cgroup.lines().find_map(|line| {
        // Hierarchy, controllers, path; the path may have colons of its own.
        let path = line.splitn(3, ':').nth(2)?;
        path.rsplit('/').find_map(of_part).map(Arc::from)
    })
}

/// The id that one part of a path is named after.
fn of_part(part: &str) -> Option<&str> {
    let part = part.rsplit(':').next().unwrap_or(part);
    let part = part.strip_suffix(".scope").or(part.strip_suffix(".service")).unwrap_or(part);
    let (runtime, id) = part.rsplit_once('-').unwrap_or(("", part));
    if is_hex(id, ID_DIGITS) && !runtime.contains("conmon") {
        return Some(id);
    }
    let numbered = is_hex(runtime, TASK_DIGITS) && id.bytes().all(|digit| digit.is_ascii_digit());
    (numbered && !id.is_empty()).then_some(part)
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|digit| digit.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "5f0f3a0c2b2d4d1e8f9a7b6c5d4e3f2a1b0c9d8e7f6a5b4c3d2e1f0a9b8c7d6e";
    const B: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9";

    /// The id in a file with this text, in which `A` and `B` stand for two ids.
    fn found(text: &str) -> Option<String> {
        id(&text.replace("{A}", A).replace("{B}", B)).map(|id| id.replace(A, "A").replace(B, "B"))
    }

    #[test]
    fn every_runtime_names_its_groups_after_the_container() {
        let pod = "pod3b7e4a9c_1c4f_4f6e_9a51_0e9c7a0d5b11.slice";
        for path in [
            "/docker/{A}",
            "/system.slice/docker-{A}.scope",
            "/system.slice/docker-{A}.scope/init.scope",
            "/kubepods/burstable/pod3b7e4a9c-1c4f-4f6e-9a51-0e9c7a0d5b11/{A}",
            "/kubepods/pod3b7e4a9c-1c4f-4f6e-9a51-0e9c7a0d5b11/{A}",
            &format!(
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-{pod}/cri-containerd-{{A}}.scope"
            ),
            &format!(
                "/system.slice/containerd.service/kubepods-besteffort-{pod}:cri-containerd:{{A}}"
            ),
            &format!(
                "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-{pod}/crio-{{A}}.scope"
            ),
            &format!("/kubepods.slice/kubepods-{pod}/crio-{{A}}.scope/container"),
            "/machine.slice/libpod-{A}.scope",
            "/machine.slice/libpod-{A}.scope/container",
            "/machine.slice/libpod-payload-{A}",
            "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{A}.scope/container",
            "/libpod_parent/libpod-{A}",
            "/system.slice/nerdctl-{A}.scope",
            "/default/{A}",
            "/ecs/3f1c9a/{A}",
            "/../../kubepods-pod1.slice/cri-containerd-{A}.scope",
            "/../{A}",
            "/actions_job/{A}",
        ] {
            assert_eq!(found(&format!("0::{path}\n")).as_deref(), Some("A"), "{path}");
            let first = format!("12:pids:{path}\n11:cpu,cpuacct:{path}\n1:name=systemd:{path}\n");
            assert_eq!(found(&first).as_deref(), Some("A"), "{path}");
        }
    }

    #[test]
    fn the_innermost_container_counts() {
        for path in [
            "/docker/{A}/docker/{B}",
            "/system.slice/docker-{A}.scope/kubelet.slice/kubelet-kubepods.slice/cri-containerd-{B}.scope",
            "/docker/{A}/kubepods/besteffort/pod1/{B}",
        ] {
            assert_eq!(found(&format!("0::{path}")).as_deref(), Some("B"), "{path}");
        }
    }

    #[test]
    fn the_hierarchy_that_tells_counts_where_there_are_several() {
        let text = "13:misc:/\n12:pids:/system.slice/sshd.service\n4:memory:/docker/{A}\n0::/\n";
        assert_eq!(found(text).as_deref(), Some("A"));
    }

    #[test]
    fn a_task_of_fargate_numbers_its_containers() {
        let task = "34dc0b5e626f2c5c4c5170e34b10e765";
        let text = format!("1:name=systemd:/ecs/{task}/{task}-1234567890\n");
        assert_eq!(found(&text).as_deref(), Some(&*format!("{task}-1234567890")));
    }

    #[test]
    fn other_groups_are_no_containers() {
        for path in [
            "/",
            "",
            "/init.scope",
            "/user.slice/user-1000.slice/session-3.scope",
            "/system.slice/containerd.service",
            "/machine.slice/libpod-conmon-{A}.scope",
            "/kubepods.slice/kubepods-pod1.slice/crio-conmon-{A}.scope",
            "/docker/5f0f3a0c2b2d",
            "/lxc.payload.web",
            "/{A}g",
            "/-",
            "/34dc0b5e626f2c5c4c5170e34b10e765-",
        ] {
            assert_eq!(found(&format!("0::{path}\n")), None, "{path}");
        }
        assert_eq!(found(""), None);
        assert_eq!(found("no line of a control group\n\u{0}::"), None);
    }
}
