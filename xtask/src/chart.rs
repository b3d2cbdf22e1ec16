// SPDX-License-Identifier: Apache-2.0
//! The Helm chart: linted, rendered with several values, held against the schemas of Kubernetes; and the manifests for
//! those who have no Helm, which are the chart rendered.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::{exec, exec::say, repo::Repo, tally::Tally};

const CHART: &str = "deploy/helm/vor";
/// Where the rendered manifests lie.
const MANIFESTS: &str = "deploy/kubernetes";
const HELM: &str = "helm.sh/helm/v3@v3.22.0";
const VALIDATE: &str = "kubernetes-validate==1.37.0";
/// The oldest version that the chart allows, the one that began to know the profile of a pod, and the newest with a schema.
const VERSIONS: [&str; 3] = ["1.25.0", "1.30.0", "1.37.0"];

/// What is rendered: a name, and the values that differ from the defaults. The first two are written down.
const RENDERED: [(&str, &[&str]); 4] = [
    ("vor", &[]),
    ("vor-with-cache", &["cache.enabled=true"]),
    ("tls", &["cache.enabled=true", "cache.tlsSecret=s", "internalMetricsPort=9090"]),
    (
        "privileged",
        &["privileges.privileged=true", "hostNetwork=true", "tracefs=", "kubernetes.enabled=false"],
    ),
];

/// Values that the schema must refuse.
const REFUSED: [&str; 4] = [
    "image.pullPolicy=Sometimes",
    "cache.replicas=0",
    "bogus=1",
    "privileges.extraCapabilities={CAP_NET_RAW}",
];

/// Checks the chart and writes the manifests; true if they were what they are.
pub(crate) fn run(repo: &Repo) -> Result<bool> {
    let tools = repo.root.join("target/kube");
    fs::create_dir_all(&tools)?;
    let helm = helm(&tools)?;
    exec::run(repo.program(&helm).args(["lint", "--strict", CHART]))?;
    for wrong in REFUSED {
        let refused = !render(repo, &helm, VERSIONS[2], &[wrong])?.0;
        ensure!(refused, "the schema of the values takes {wrong}");
    }
    let python = validator(&tools)?;
    let mut fresh = true;
    for (name, values) in RENDERED {
        for version in VERSIONS {
            let (rendered, text) = render(repo, &helm, version, values)?;
            ensure!(rendered, "helm cannot render {name}");
            let file = tools.join(format!("{name}-{version}.yaml"));
            fs::write(&file, &text)?;
            validate(&python, &file, version)?;
        }
        say(format_args!("{name}: valid for {}", VERSIONS.join(", ")));
    }
    for (name, values) in RENDERED.iter().take(2) {
        let (_, text) = render(repo, &helm, VERSIONS[2], values)?;
        let note = "# SPDX-License-Identifier: Apache-2.0\n# Written by `cargo xtask chart`; do not edit.\n";
        let text = format!("{note}{text}");
        let file = repo.root.join(MANIFESTS).join(format!("{name}.yaml"));
        if fs::read_to_string(&file).unwrap_or_default() != text {
            say(format_args!("{} was stale and is written anew", file.display()));
            fs::create_dir_all(repo.root.join(MANIFESTS))?;
            fs::write(&file, text)?;
            fresh = false;
        }
    }
    Ok(fresh)
}

/// Holds the manifests against the schemas and, where there is a helm already, checks the chart: in seconds.
pub(crate) fn manifests(repo: &Repo, tally: &mut Tally) -> Result<()> {
    let tools = repo.root.join("target/kube");
    fs::create_dir_all(&tools)?;
    let python = validator(&tools)?;
    for (name, _) in RENDERED.iter().take(2) {
        let file = repo.root.join(MANIFESTS).join(format!("{name}.yaml"));
        // They were rendered for versions that know the profile of a pod.
        for version in VERSIONS.iter().skip(1) {
            validate(&python, &file, version)?;
            tally.pass(1);
        }
    }
    if helm_of_machine() || built_helm(&tools).exists() {
        ensure!(run(repo)?, "the manifests were stale");
        tally.pass(1);
    } else {
        say("the chart itself was not rendered: no helm here, `cargo xtask chart` builds one");
    }
    Ok(())
}

/// Whether it could be rendered, and the text.
fn render(repo: &Repo, helm: &str, version: &str, values: &[&str]) -> Result<(bool, String)> {
    let mut command = repo.program(helm);
    command.args(["template", "vor", CHART, "--namespace", "observability"]);
    command.args(["--kube-version", version]);
    for value in values {
        command.args(["--set", value]);
    }
    let out = command.stderr(Stdio::null()).output().context("starting helm")?;
    Ok((out.status.success(), String::from_utf8(out.stdout)?))
}

/// The helm of this machine, or one built from its Go module.
fn helm(tools: &Path) -> Result<String> {
    if helm_of_machine() {
        return Ok("helm".to_owned());
    }
    let program = built_helm(tools);
    if !program.exists() {
        say("building helm from its Go module: minutes, once");
        let (path, version) = HELM.split_once('@').context("a module has a version")?;
        let package = format!("{path}/cmd/helm@{version}");
        exec::run(Command::new("go").env("GOBIN", tools.join("bin")).args([
            "install",
            "-trimpath",
            "-ldflags",
            "-s -w",
            &package,
        ]))?;
    }
    Ok(program.to_string_lossy().into_owned())
}

fn helm_of_machine() -> bool {
    let version = Command::new("helm").arg("version").stdout(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

fn built_helm(tools: &Path) -> PathBuf {
    tools.join("bin/helm")
}

/// Where Python finds kubernetes-validate, which brings the schemas.
fn validator(tools: &Path) -> Result<PathBuf> {
    let folder = tools.join("validate");
    if !folder.exists() {
        say(format_args!("installing {VALIDATE}"));
        let part = tools.join("validate.part");
        exec::run(
            Command::new("python3")
                .args(["-m", "pip", "install", "--quiet", "--root-user-action=ignore", "--target"])
                .arg(&part)
                .arg(VALIDATE),
        )?;
        // Moved into place when complete, so that an interrupted run is repeated.
        fs::rename(part, &folder)?;
    }
    Ok(folder)
}

fn validate(python: &Path, file: &Path, version: &str) -> Result<()> {
    exec::run(
        Command::new("python3")
            .env("PYTHONPATH", python)
            .args(["-m", "kubernetes_validate", "--strict", "--quiet", "-k", version])
            .arg(file),
    )
    .with_context(|| format!("validating {}", file.display()))
}
