// SPDX-License-Identifier: Apache-2.0
//! A distribution's kernel, unpacked: from the machine's package sources into target/vm, once.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use super::Kernel;
use crate::{
    exec::{self, say},
    repo::Repo,
};

/// The folder with `boot/` and `lib/modules/` of a kernel; fetched when it is not there yet.
pub(crate) fn folder(repo: &Repo, kernel: &Kernel) -> Result<PathBuf> {
    let folder = repo.scratch().join("kernels").join(&kernel.name);
    if !folder.is_dir() {
        fetch(kernel, &folder)?;
    }
    Ok(folder)
}

/// What `uname -r` says on the kernel in a folder.
pub(crate) fn release(folder: &Path) -> Result<String> {
    let modules = folder.join("lib/modules");
    let entry = fs::read_dir(&modules)
        .with_context(|| format!("reading {}", modules.display()))?
        .next()
        .with_context(|| format!("no kernel in {}", modules.display()))??;
    Ok(entry.file_name().to_string_lossy().into_owned())
}

fn fetch(kernel: &Kernel, folder: &Path) -> Result<()> {
    let package = newest(kernel)?;
    say(format_args!("kernel {}: fetching {package}", kernel.name));
    // Renamed when complete, so that an interrupted fetch is repeated.
    let part = folder.with_extension("part");
    let _ = fs::remove_dir_all(&part);
    fs::create_dir_all(&part)?;
    exec::run(here(&part, "apt-get").args(["download", "-qq", &package]).stderr(Stdio::null()))
        .with_context(|| format!("downloading {package}"))?;
    let archive = fs::read_dir(&part)?.next().context("apt-get downloaded nothing")??.path();
    exec::run(here(&part, "dpkg").arg("-x").arg(&archive).arg("."))?;
    fs::remove_file(&archive)?;
    // The guest's initramfs cannot read compressed modules.
    exec::run(
        here(&part, "sh").args([
            "-c",
            "find lib/modules -name '*.ko.xz' -print0 | xargs -0 -r -n 200 -P 2 unxz",
        ]),
    )?;
    exec::run(here(&part, "depmod").args(["-b", "."]).arg(release(&part)?))?;
    fs::rename(&part, folder).context("moving the kernel into place")
}

fn here(folder: &Path, program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder);
    command
}

/// The package with the highest version that the machine's sources offer.
fn newest(kernel: &Kernel) -> Result<String> {
    if let Some(package) = known(kernel)? {
        return Ok(package);
    }
    // The lists may be absent or older than the sources.
    exec::run(Command::new("apt-get").args(["update", "-qq"]))?;
    match known(kernel)? {
        Some(package) => Ok(package),
        None => bail!("no package {}…{} here", kernel.prefix, kernel.suffix),
    }
}

fn known(kernel: &Kernel) -> Result<Option<String>> {
    let names = exec::text(Command::new("apt-cache").args(["pkgnames", &kernel.prefix]))?;
    Ok(newest_of(names.lines(), kernel))
}

fn newest_of<'a>(names: impl Iterator<Item = &'a str>, kernel: &Kernel) -> Option<String> {
    names
        .filter_map(|name| {
            let middle = name.strip_prefix(&kernel.prefix)?.strip_suffix(&kernel.suffix)?;
            Some((version(middle)?, name))
        })
        .max()
        .map(|(_, name)| name.to_owned())
}

/// `117+deb12` → 117; variants such as `117+deb12-cloud` are none.
fn version(middle: &str) -> Option<u32> {
    let digits = middle.split_once('+').map_or(middle, |(digits, _)| digits);
    (!middle.contains('-')).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_plain_kernel_is_chosen() {
        let kernel = Kernel {
            name: "6.12".into(),
            prefix: "linux-image-6.12.".into(),
            suffix: "-amd64".into(),
            doors: vec![],
            go: None,
        };
        let names = [
            "linux-image-6.12.95+deb12-amd64",
            "linux-image-6.12.117+deb12-amd64",
            "linux-image-6.12.117+deb12-amd64-dbg",
            "linux-image-6.12.118+deb12-cloud-amd64",
            "linux-image-6.12.119+deb12-amd64-unsigned",
        ];
        let newest = newest_of(names.into_iter(), &kernel);
        assert_eq!(newest.as_deref(), Some("linux-image-6.12.117+deb12-amd64"));
    }
}
