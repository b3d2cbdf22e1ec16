// SPDX-License-Identifier: Apache-2.0
//! Opens, sizes, shares and loads kernel objects. One object is one fate: it is there as a whole or not at all.
//!
//! Maps named `vor_…` are one kernel map in all objects: the first object's, handed to the others by descriptor.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::os::fd::AsFd;
use std::sync::Once;

use flate2::read::GzDecoder;
use libbpf_rs::btf::{Btf, types};
use libbpf_rs::{
    MapCore, MapHandle, ObjectBuilder, OpenObject, PrintLevel, ProgramAttachType, ProgramMut,
    set_print,
};

use crate::config::ProbeConfig;
use crate::tracers::{At, Need, Object, Unit};

/// First letters of the names of maps that objects share.
const SHARED: &str = "vor_";
/// Maps of the unit `socket` that units of libraries share with it (`tracers/socket/claim.h`).
const LENT: [&str; 3] = ["socket_conns", "socket_blank", "socket_events"];
/// Lines of the verifier's log that go into an error.
const LOG_LINES: usize = 6;

/// Section of programs for places in code.
const CODE: &str = "uprobe";
/// The kernel function that attaches a program to many places in code at once (6.6, 89ae89f53d20).
const MULTI: &str = "bpf_uprobe_multi_link_attach";

/// Lines that say nothing new: the frame of the verifier's log, the same failure from further out, and a guess
/// that is wrong on kernels since 5.11.
const NOISE: [&str; 5] = [
    "PROG LOAD LOG",
    "': failed to load: -",
    "failed to load object",
    "try raising 'ulimit -l'",
    "RLIMIT_MEMLOCK",
];

/// Why an object is not there.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// The file is not an object, or not one that this libbpf reads.
    #[error("cannot open the object: {0}")]
    Open(String),
    /// A map cannot be made as asked.
    #[error("cannot prepare map {map}: {error}")]
    Map {
        /// The map.
        map: String,
        /// Why not.
        error: String,
    },
    /// The kernel refuses a program or a map.
    #[error("the kernel refuses to load it: {error}{}", tail(.log))]
    Load {
        /// What it says.
        error: String,
        /// The last lines that libbpf and the verifier said.
        log: Vec<String>,
    },
    /// vor may not write into programs.
    #[error(
        "vor may not write into programs (bpf_probe_write_user): lockdown forbids it, or CAP_SYS_ADMIN is missing"
    )]
    WriteUser,
    /// A name in the unit's description is not in its object.
    #[error("{0} is not in the object")]
    Name(&'static str),
    /// A program cannot be attached.
    #[error("cannot attach {program}: {error}{}", tail(.log))]
    Attach {
        /// The program.
        program: &'static str,
        /// Why not.
        error: String,
        /// The last lines that libbpf said.
        log: Vec<String>,
    },
}

/// Why an object was not loaded. A verifier that does not offer a helper says so in words that depend on its version.
fn refusal(error: &str, log: Vec<String>) -> ObjectError {
    let forbidden = |line: &String| {
        line.contains("helper bpf_probe_write_user") || line.contains("func bpf_probe_write_user")
    };
    if log.iter().any(forbidden) {
        return ObjectError::WriteUser;
    }
    ObjectError::Load { error: error.to_owned(), log }
}

fn tail(log: &[String]) -> String {
    log.iter().flat_map(|line| ["; ", line]).collect()
}

/// An object's ELF file as the build script leaves it, in gzip: most objects are never loaded.
#[derive(Debug, Clone, Copy)]
pub struct Packed(pub(crate) &'static [u8]);

impl Packed {
    /// Opens the object as `name`. libbpf keeps nothing of the file.
    pub fn open(self, name: &str) -> Result<OpenObject, ObjectError> {
        listen();
        let file = self.unpack().map_err(|error| ObjectError::Open(error.to_string()))?;
        heard(|| ObjectBuilder::default().name(name)?.open_memory(&file))
            .map_err(|(error, log)| ObjectError::Open(format!("{error:#}{}", tail(&log))))
    }

    fn unpack(self) -> io::Result<Vec<u8>> {
        let mut file = Vec::new();
        GzDecoder::new(self.0).read_to_end(&mut file)?;
        Ok(file)
    }
}

/// What objects share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    maps: BTreeMap<String, MapHandle>,
}

/// An object in the kernel.
#[derive(Debug)]
pub(crate) struct Loaded {
    object: libbpf_rs::Object,
    multi: bool,
}

impl Loaded {
    /// Loads `object` of `unit`. Optional programs whose place the kernel does not have are left out.
    pub(crate) fn load(
        unit: &Unit,
        object: &Object,
        config: &ProbeConfig,
        kernel: &Btf<'_>,
        shared: &mut Shared,
    ) -> Result<Self, ObjectError> {
        let mut open = object.file.open(unit.name)?;
        size(&mut open, &(unit.sizes)(config))?;
        share(&mut open, shared)?;
        leave_out(&mut open, object, kernel);
        let multi = has_function(kernel, MULTI);
        if multi {
            attach_to_many(&mut open);
        }
        let loaded =
            heard(|| open.load()).map_err(|(error, log)| refusal(&format!("{error:#}"), log))?;
        remember(&loaded, shared)?;
        Ok(Self { object: loaded, multi })
    }

    /// The map `name`, by a descriptor of its own.
    pub(crate) fn map(&self, name: &'static str) -> Result<MapHandle, ObjectError> {
        let map =
            self.object.maps().find(|map| map.name() == name).ok_or(ObjectError::Name(name))?;
        MapHandle::try_from(&map)
            .map_err(|error| ObjectError::Map { map: name.to_owned(), error: error.to_string() })
    }

    /// Whether its programs for places in code are attached to many of them at once.
    pub(crate) const fn multi(&self) -> bool {
        self.multi
    }

    /// The program `name`.
    pub(crate) fn program(&self, name: &'static str) -> Result<ProgramMut<'_>, ObjectError> {
        self.object
            .progs_mut()
            .find(|program| program.name() == name)
            .ok_or(ObjectError::Name(name))
    }
}

fn size(open: &mut OpenObject, sizes: &[(&'static str, u32)]) -> Result<(), ObjectError> {
    for (name, entries) in sizes {
        let mut map =
            open.maps_mut().find(|map| map.name() == *name).ok_or(ObjectError::Name(name))?;
        map.set_max_entries(*entries).map_err(|error| ObjectError::Map {
            map: (*name).to_owned(),
            error: error.to_string(),
        })?;
    }
    Ok(())
}

fn share(open: &mut OpenObject, shared: &Shared) -> Result<(), ObjectError> {
    for mut map in open.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        if let Some(fd) = shared.maps.get(&name) {
            map.reuse_fd(fd.as_fd())
                .map_err(|error| ObjectError::Map { map: name, error: error.to_string() })?;
        }
    }
    Ok(())
}

fn is_shared(name: &str) -> bool {
    name.starts_with(SHARED) || LENT.contains(&name)
}

fn remember(loaded: &libbpf_rs::Object, shared: &mut Shared) -> Result<(), ObjectError> {
    for map in loaded.maps() {
        let name = map.name().to_string_lossy().into_owned();
        if !is_shared(&name) || shared.maps.contains_key(&name) {
            continue;
        }
        let handle = MapHandle::try_from(&map)
            .map_err(|error| ObjectError::Map { map: name.clone(), error: error.to_string() })?;
        shared.maps.insert(name, handle);
    }
    Ok(())
}

/// Does not load optional programs for functions that this kernel does not have: one of them would take the
/// whole object down.
fn leave_out(open: &mut OpenObject, object: &Object, kernel: &Btf<'_>) {
    let optional = |name: &std::ffi::OsStr| {
        object.hooks.iter().any(|hook| {
            hook.program == name && hook.need == Need::Optional && matches!(hook.at, At::Section)
        })
    };
    for mut program in open.progs_mut() {
        let section = program.section().to_string_lossy().into_owned();
        let function = section.split_once('/').map_or("", |(_, function)| function);
        if optional(program.name()) && !has_function(kernel, function) {
            program.set_autoload(false);
        }
    }
}

/// Prepares programs for places in code to be attached to many of them by one link.
fn attach_to_many(open: &mut OpenObject) {
    for mut program in open.progs_mut() {
        if program.section() == CODE {
            program.set_attach_type(ProgramAttachType::TraceUprobeMulti);
        }
    }
}

/// Whether the kernel has a function of this name that programs can be attached to.
pub(crate) fn has_function(kernel: &Btf<'_>, name: &str) -> bool {
    kernel.type_by_name::<types::Func<'_>>(name).is_some()
}

thread_local! {
    /// What libbpf has said on this thread since [`heard`] began to listen. libbpf has one callback per
    /// process and calls it on the thread that called libbpf.
    static SAID: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Keeps libbpf's messages off standard error.
pub(crate) fn listen() {
    static ONCE: Once = Once::new();
    fn note(_: PrintLevel, message: String) {
        SAID.with_borrow_mut(|said| said.push(message));
    }
    ONCE.call_once(|| {
        set_print(Some((PrintLevel::Warn, note)));
    });
}

/// Runs `act`; when it fails, gives the last lines that libbpf said about it.
pub(crate) fn heard<T, E>(act: impl FnOnce() -> Result<T, E>) -> Result<T, (E, Vec<String>)> {
    SAID.take();
    act().map_err(|error| {
        let said = SAID.take();
        tracing::debug!(log = said.concat(), "libbpf");
        (error, last_lines(&said.concat()))
    })
}

fn last_lines(said: &str) -> Vec<String> {
    let says = |line: &&str| !line.is_empty() && !NOISE.iter().any(|noise| line.contains(noise));
    let lines = said.lines().map(|line| line.trim().trim_start_matches("libbpf: "));
    let lines: Vec<_> = lines.filter(says).collect();
    lines.iter().skip(lines.len().saturating_sub(LOG_LINES)).map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_carries_the_last_lines_of_the_log() {
        let log = last_lines("a\n\nb\n-- END PROG LOAD LOG --\nc\nd\ne\nf\ng\n");
        assert_eq!(log, ["b", "c", "d", "e", "f", "g"]);
        let error = ObjectError::Load { error: "no".into(), log };
        assert_eq!(error.to_string(), "the kernel refuses to load it: no; b; c; d; e; f; g");
    }
}
