// SPDX-License-Identifier: Apache-2.0
//! Databases of the distribution, started for one scenario.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::apps::find;
use crate::ports;
use crate::scenario::Skip;
use crate::scene::{Actor, Scene};

/// What the broker calls its cluster: any 16 bytes in base64.
const CLUSTER: &str = "dm9yLXRlc3RzLWthZmthLQ";

/// How long a broker may take until it listens; on a machine that is at rest, it takes four seconds.
const KAFKA_START: Duration = Duration::from_secs(120);

/// Starts Redis without files.
pub fn redis(scene: &mut Scene<'_>, port: u16) -> Result<Actor> {
    let program =
        find("redis-server").ok_or_else(|| Skip("redis-server is not installed".into()))?;
    let mut command = Command::new(program);
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", ""]);
    command.current_dir(scene.dir());
    scene.serve(command, port)
}

/// Starts PostgreSQL with a new cluster that trusts everybody.
pub fn postgres(scene: &mut Scene<'_>, port: u16) -> Result<Actor> {
    let programs = postgres_programs().ok_or_else(|| Skip("postgresql is not installed".into()))?;
    let dir = scene.dir().join(format!("postgres-{port}"));
    fs::create_dir(&dir)?;
    // It refuses to run as root; the folder of the scene is root's alone.
    let (user, group) = owner(&dir)?;
    let mut init = as_user(user, group, &programs.join("initdb"));
    init.args(["--auth=trust", "--username=postgres", "--no-sync", "--no-instructions", "-D"]);
    let done = init.arg(&dir).stdout(Stdio::null()).output()?;
    ensure!(done.status.success(), "initdb: {}", String::from_utf8_lossy(&done.stderr));
    let mut command = as_user(user, group, &programs.join("postgres"));
    command.arg("-D").arg(&dir).args(["-p", &port.to_string(), "-F"]);
    command.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
    scene.serve(command, port)
}

/// Starts a broker of Kafka, without others, that runs from the Java archives in `jars`.
pub fn kafka(scene: &mut Scene<'_>, jars: &Path, port: u16) -> Result<Actor> {
    let java = find("java").ok_or_else(|| Skip("java is not installed".into()))?;
    if !jars.is_dir() {
        return Err(Skip("Kafka is not there; cargo xtask go-matrix fetches it".into()).into());
    }
    let (dir, controller) = (scene.dir().join(format!("kafka-{port}")), ports::free()?);
    fs::create_dir(&dir)?;
    let settings = dir.join("server.properties");
    fs::write(
        &settings,
        format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.listener.names=CONTROLLER\n\
             controller.quorum.bootstrap.servers=127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             log.dirs={}\noffsets.topic.num.partitions=1\n\
             offsets.topic.replication.factor=1\n",
            dir.join("log").display()
        ),
    )?;
    let run = |class: &str| {
        let mut command = Command::new(&java);
        command.args(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp"]);
        command.arg(jars.join("*")).arg(class).current_dir(&dir);
        command
    };
    let mut format = run("kafka.tools.StorageTool");
    format.args(["format", "--standalone", "-t", CLUSTER, "-c"]).arg(&settings);
    let done = format.stdout(Stdio::null()).output()?;
    ensure!(done.status.success(), "format: {}", String::from_utf8_lossy(&done.stderr));
    let mut command = run("kafka.Kafka");
    command.arg(&settings);
    let broker = scene.start(command)?;
    ports::open(port, KAFKA_START)?;
    Ok(broker)
}

/// The newest version's programs: Debian keeps them off the path.
fn postgres_programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut versions: Vec<PathBuf> =
        versions.filter_map(|entry| Some(entry.ok()?.path())).collect();
    versions.sort();
    versions.pop().map(|version| version.join("bin")).filter(|bin| bin.join("initdb").is_file())
}

/// Gives a folder to the user `postgres`, and lets him reach it.
fn owner(dir: &Path) -> Result<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd")?;
    let line = users.lines().find_map(|line| line.strip_prefix("postgres:"));
    let mut fields = line.context("no user postgres")?.split(':').skip(1);
    let mut number = || fields.next().and_then(|field| field.parse().ok()).context("its numbers");
    let (user, group) = (number()?, number()?);
    chown(dir, Some(user), Some(group))?;
    if let Some(above) = dir.parent() {
        let mut mode = fs::metadata(above)?.permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
        fs::set_permissions(above, mode)?;
    }
    Ok((user, group))
}

fn as_user(user: u32, group: u32, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={user}")).arg(format!("--regid={group}"));
    command.args(["--clear-groups", "--"]).arg(program);
    command
}
