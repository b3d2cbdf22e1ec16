// SPDX-License-Identifier: Apache-2.0
//! Which crate may use which: a new edge is a design decision, made here and explained in docs/decisions.

use crate::repo::Package;

/// Each crate and what it may use of ours, outside its tests.
const EDGES: &[(&str, &[&str])] = &[
    ("vor-model", &[]),
    ("vor-health", &[]),
    ("vor-config", &[]),
    ("vor-exe", &[]),
    ("vor-protocol", &["vor-model"]),
    ("vor-pipeline", &["vor-model", "vor-protocol", "vor-health", "vor-config"]),
    ("vor-discover", &["vor-model", "vor-exe", "vor-health", "vor-config"]),
    ("vor-probe", &["vor-model", "vor-protocol", "vor-exe", "vor-health", "vor-config"]),
    ("vor-enrich", &["vor-model", "vor-pipeline", "vor-health", "vor-config"]),
    ("vor-export", &["vor-model", "vor-pipeline", "vor-health", "vor-config"]),
    (
        "vor",
        &[
            "vor-model",
            "vor-health",
            "vor-config",
            "vor-exe",
            "vor-protocol",
            "vor-pipeline",
            "vor-discover",
            "vor-probe",
            "vor-enrich",
            "vor-export",
        ],
    ),
    ("vor-apiserver", &[]),
    ("vor-e2e", &["vor-apiserver"]),
    ("xtask", &["vor-exe"]),
];

/// Libraries that stay behind one wall, and the crates behind it.
const WALLS: &[(&str, &[&str])] = &[
    ("anyhow", &["vor", "vor-apiserver", "vor-e2e", "xtask"]),
    ("clap", &["vor", "vor-apiserver", "vor-e2e", "xtask"]),
    ("gimli", &["vor-exe"]),
    ("hickory-resolver", &["vor-enrich"]),
    ("hyper", &["vor-enrich", "vor-export", "vor-apiserver", "vor-e2e"]),
    ("iced-x86", &["vor-exe"]),
    ("kube", &["vor-enrich"]),
    ("libbpf-rs", &["vor-probe"]),
    ("libbpf-sys", &["vor-probe"]),
    ("object", &["vor-exe", "vor-probe"]),
    ("tonic", &["vor-enrich", "vor-export", "vor-e2e"]),
];

pub(crate) fn check(packages: &[Package]) -> Vec<String> {
    let mut faults = Vec::new();
    for package in packages {
        let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == package.name) else {
            faults.push(format!("{}: not in xtask/src/tidy/layers.rs", package.name));
            continue;
        };
        let used = package.dependencies.iter().filter(|d| d.kind.as_deref() != Some("dev"));
        for dependency in used {
            let name = dependency.name.as_str();
            let ours = EDGES.iter().any(|(ours, _)| *ours == name);
            if ours && !allowed.contains(&name) {
                faults.push(format!("{}: must not use {name}", package.name));
            }
            let wall = WALLS.iter().find(|(library, _)| *library == name);
            if let Some((_, behind)) = wall.filter(|(_, behind)| !behind.contains(&&*package.name))
            {
                faults.push(format!("{}: {name} is for {} only", package.name, behind.join(", ")));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::Dependency;

    fn package(name: &str, uses: &str, kind: Option<&str>) -> Package {
        let dependency = Dependency { name: uses.into(), kind: kind.map(str::to_owned) };
        Package { name: name.into(), dependencies: vec![dependency] }
    }

    #[test]
    fn an_edge_against_the_flow_is_a_fault() {
        assert_eq!(check(&[package("vor-model", "vor-export", None)]).len(), 1);
        assert_eq!(check(&[package("vor-export", "vor-model", None)]).len(), 0);
    }

    #[test]
    fn tests_may_use_any_crate() {
        assert!(check(&[package("vor-model", "vor-export", Some("dev"))]).is_empty());
    }

    #[test]
    fn a_library_stays_behind_its_wall() {
        assert_eq!(check(&[package("vor-export", "libbpf-rs", None)]).len(), 1);
    }
}
