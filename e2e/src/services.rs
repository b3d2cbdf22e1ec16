// SPDX-License-Identifier: Apache-2.0
//! Databases of the distribution, started for one scenario.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::apps::find;
use crate::scenario::Skip;
use crate::scene::{Actor, Scene};

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
