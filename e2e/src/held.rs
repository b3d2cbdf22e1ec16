// SPDX-License-Identifier: Apache-2.0
//! What a process holds in the kernel: its descriptors by kind, and the memory of its BPF maps.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// How many of each kind. Kinds are those of `/proc/PID/fd`, such as `bpf_link`; sockets, which come with whoever
/// asks for metrics, are left out.
///
/// Maps are told by their bytes, too, sorted by type and by the sizes of key and value: from Linux 6.4 on the bytes
/// of a map that is not allocated beforehand grow with its rows.
pub type Held = BTreeMap<String, u64>;

/// What process `pid` holds.
pub fn of(pid: u32) -> Result<Held> {
    let process = Path::new("/proc").join(pid.to_string());
    let (mut held, mut maps) = (Held::new(), BTreeSet::new());
    for entry in fs::read_dir(process.join("fd")).context("reading its descriptors")? {
        let name = entry?.file_name();
        // It may have been closed since.
        let Ok(target) = fs::read_link(process.join("fd").join(&name)) else { continue };
        let target = target.to_string_lossy();
        let kind = match target.strip_prefix("anon_inode:") {
            Some(kind) => kind,
            None if target.starts_with('/') => "file",
            None => continue,
        };
        *held.entry(kind.to_owned()).or_default() += 1;
        let info = fs::read_to_string(process.join("fdinfo").join(&name)).unwrap_or_default();
        // Several descriptors may be of one map.
        let of = |name| field(&info, name).unwrap_or_default();
        if let Some(map) = field(&info, "map_id:")
            && maps.insert(map)
        {
            let sizes = (of("map_type:"), of("key_size:"), of("value_size:"));
            *held.entry(format!("bytes of maps {sizes:?}")).or_default() += of("memlock:");
        }
    }
    Ok(held)
}

fn field(info: &str, name: &str) -> Option<u64> {
    info.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_file_is_held_until_it_is_closed() {
        let files = |held: Held| held.get("file").copied().unwrap_or_default();
        let own = std::process::id();
        let before = files(of(own).unwrap());
        let open: Vec<_> = (0..64).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        assert!(files(of(own).unwrap()) >= before + 32);
        drop(open);
    }

    #[test]
    fn fields_of_a_map_are_read() {
        let info = "pos:\t0\nmap_type:\t1\nmemlock:\t4096\nmap_id:\t17\n";
        assert_eq!((field(info, "map_id:"), field(info, "memlock:")), (Some(17), Some(4096)));
    }
}
