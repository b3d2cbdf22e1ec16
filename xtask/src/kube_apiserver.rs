// SPDX-License-Identifier: Apache-2.0
//! The real API server of Kubernetes: built from Go modules when it is first wanted, started beside an etcd, and asked
//! what the API server for tests is asked.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::{exec, exec::say, repo::Repo};

/// The minor and patch version: of the server, and of the modules that are published beside it.
const KUBERNETES: &str = "37.2";
const ETCD: &str = "3.6.16";
/// How long it may take until the server is ready.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is built: the text of go.mod, and the package.
struct Module {
    text: String,
    package: &'static str,
}

/// What `go mod download -json` tells.
#[derive(Deserialize)]
struct Download {
    #[serde(rename = "GoMod")]
    go_mod: PathBuf,
}

/// A program that ends with us.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Builds what is missing, starts it, and runs the suite of the protocol against it; true if it passes.
pub(crate) fn run(repo: &Repo) -> Result<bool> {
    let folder = repo.root.join("target/kube");
    let etcd = built(&folder.join("etcd"), "etcd", || Ok(etcd_module()))?;
    let server = built(&folder.join("kube-apiserver"), "kube-apiserver", server_module)?;
    let state = tempfile::tempdir()?;
    let (etcd_url, _etcd) = start_etcd(&etcd, state.path())?;
    let port = free_port()?;
    let _server = start_server(&server, state.path(), &etcd_url, port)?;
    let url = format!("https://127.0.0.1:{port}");
    ready(&url, &state.path().join("kube-apiserver.log"))?;
    accepted(repo, &url)?;
    let mut test = repo.program("cargo");
    test.args(["test", "--package", "vor-apiserver", "--test", "protocol"]);
    Ok(test.env("VOR_TEST_APISERVER", &url).status()?.success())
}

/// The program `name`, built in `folder` unless it is there.
fn built(folder: &Path, name: &str, module: impl FnOnce() -> Result<Module>) -> Result<PathBuf> {
    let program = folder.join(name);
    if program.exists() {
        return Ok(program);
    }
    say(format_args!("building {name} from Go modules: minutes, once"));
    let Module { text, package } = module()?;
    fs::create_dir_all(folder)?;
    fs::write(folder.join("go.mod"), text)?;
    let part = folder.join(format!("{name}.part"));
    let version = format!("-s -w -X k8s.io/component-base/version.gitVersion=v1.{KUBERNETES}");
    exec::run(
        Command::new("go")
            .current_dir(folder)
            .args(["build", "-mod=mod", "-trimpath", "-ldflags", &version, "-o"])
            .arg(&part)
            .arg(package),
    )?;
    // Moved into place when complete, so that an interrupted build is repeated.
    fs::rename(&part, &program)?;
    Ok(program)
}

fn etcd_module() -> Module {
    let require = format!("require go.etcd.io/etcd/server/v3 v{ETCD}");
    Module {
        text: format!("module vor.test/etcd\n\ngo 1.24\n\n{require}\n"),
        package: "go.etcd.io/etcd/server/v3",
    }
}

/// The server's own go.mod takes its parts from folders beside it; published, they are modules of the same version.
fn server_module() -> Result<Module> {
    let module = format!("k8s.io/kubernetes@v1.{KUBERNETES}");
    let told = exec::text(Command::new("go").args(["mod", "download", "-json", &module]))?;
    let told: Download = serde_json::from_str(&told).context("reading what go says")?;
    let original = fs::read_to_string(&told.go_mod)
        .with_context(|| format!("reading {}", told.go_mod.display()))?;
    let demands =
        original.lines().filter(|line| line.starts_with("go ") || line.starts_with("godebug "));
    let parts = original.lines().filter_map(|line| line.split_once(" => ./staging/"));
    let mut text = vec!["module vor.test/kube-apiserver".to_owned()];
    text.extend(demands.map(str::to_owned));
    text.push(format!("require k8s.io/kubernetes v1.{KUBERNETES}"));
    text.extend(parts.map(|(part, _)| {
        let part = part.trim();
        format!("replace {part} => {part} v0.{KUBERNETES}")
    }));
    Ok(Module { text: text.join("\n") + "\n", package: "k8s.io/kubernetes/cmd/kube-apiserver" })
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn start_etcd(program: &Path, state: &Path) -> Result<(String, Running)> {
    let (client, peer) = (free_port()?, free_port()?);
    let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
    let mut command = Command::new(program);
    command.arg("--data-dir").arg(state.join("etcd"));
    for (flag, value) in [
        ("--listen-client-urls", &client),
        ("--advertise-client-urls", &client),
        ("--listen-peer-urls", &peer),
        ("--initial-advertise-peer-urls", &peer),
        ("--initial-cluster", &format!("default={peer}")),
    ] {
        command.args([flag, value]);
    }
    Ok((client, start(&mut command, &state.join("etcd.log"))?))
}

fn start_server(program: &Path, state: &Path, etcd: &str, port: u16) -> Result<Running> {
    let key = state.join("service-accounts.pem");
    let quiet = Stdio::null();
    let openssl = ["genpkey", "-algorithm", "RSA", "-out"];
    exec::run(Command::new("openssl").args(openssl).arg(&key).stderr(quiet))?;
    let tokens = state.join("tokens.csv");
    fs::write(&tokens, "admin,admin,1,system:masters\n")?;
    let mut command = Command::new(program);
    let paths = [
        ("--cert-dir", &state.join("certificates")),
        ("--service-account-key-file", &key),
        ("--service-account-signing-key-file", &key),
        ("--token-auth-file", &tokens),
    ];
    for (flag, path) in paths {
        command.arg(flag).arg(path);
    }
    command.args(["--etcd-servers", etcd, "--secure-port", &port.to_string()]);
    command.args(["--bind-address", "127.0.0.1", "--authorization-mode", "RBAC"]);
    command.args(["--service-account-issuer", "https://kubernetes.default.svc"]);
    command.args(["--service-cluster-ip-range", "172.20.0.0/16"]);
    // Nobody makes service accounts here.
    command.args(["--disable-admission-plugins", "ServiceAccount"]);
    start(&mut command, &state.join("kube-apiserver.log"))
}

fn start(command: &mut Command, log: &Path) -> Result<Running> {
    let file = fs::File::create(log)?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let name = command.get_program().to_string_lossy().into_owned();
    Ok(Running(command.spawn().with_context(|| format!("starting {name}"))?))
}

/// Where objects of the kinds in our manifests are created.
const PLACES: [(&str, &str); 9] = [
    ("ClusterRole", "apis/rbac.authorization.k8s.io/v1/clusterroles"),
    ("ClusterRoleBinding", "apis/rbac.authorization.k8s.io/v1/clusterrolebindings"),
    ("ConfigMap", "api/v1/namespaces/observability/configmaps"),
    ("DaemonSet", "apis/apps/v1/namespaces/observability/daemonsets"),
    ("Deployment", "apis/apps/v1/namespaces/observability/deployments"),
    ("Namespace", "api/v1/namespaces"),
    ("PodDisruptionBudget", "apis/policy/v1/namespaces/observability/poddisruptionbudgets"),
    ("Service", "api/v1/namespaces/observability/services"),
    ("ServiceAccount", "api/v1/namespaces/observability/serviceaccounts"),
];

/// The server takes every object of deploy/kubernetes, without a field that it does not know.
fn accepted(repo: &Repo, url: &str) -> Result<()> {
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: observability}\n";
    create(url, namespace, "")?;
    for file in ["vor.yaml", "vor-with-cache.yaml"] {
        let text = repo.read(&Path::new("deploy/kubernetes").join(file))?;
        for object in text.split("\n---\n").filter(|text| text.contains("\nkind: ")) {
            create(url, object, "?dryRun=All&fieldValidation=Strict").context(file)?;
        }
        say(format_args!("the server accepts {file}"));
    }
    Ok(())
}

fn create(url: &str, object: &str, query: &str) -> Result<()> {
    let kind = object.lines().find_map(|line| line.strip_prefix("kind: "));
    let kind = kind.context("an object without a kind")?;
    let place = PLACES.iter().find(|(known, _)| *known == kind);
    let (_, place) = place.with_context(|| format!("no place for a {kind}"))?;
    let mut curl = Command::new("curl");
    curl.args(["-sk", "-X", "POST", "-w", "\n%{http_code}", "-H", "Authorization: Bearer admin"]);
    curl.args(["-H", "Content-Type: application/yaml", "--data-binary", object]);
    let answer = exec::text(curl.arg(format!("{url}/{place}{query}")))?;
    ensure!(answer.ends_with("\n201"), "the server refuses a {kind}: {answer}");
    Ok(())
}

fn ready(url: &str, log: &Path) -> Result<()> {
    let start = Instant::now();
    loop {
        let asked = ["-skf", "-o", "/dev/null", "-H", "Authorization: Bearer admin"];
        if Command::new("curl").args(asked).arg(format!("{url}/readyz")).status()?.success() {
            return Ok(());
        }
        let last = fs::read_to_string(log).unwrap_or_default();
        let last = last.lines().last().unwrap_or_default();
        ensure!(start.elapsed() < PATIENCE, "the API server is not ready: {last}");
        thread::sleep(Duration::from_millis(200));
    }
}
