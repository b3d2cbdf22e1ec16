// SPDX-License-Identifier: Apache-2.0
//! The programs of a source, loaded once for each network namespace, whose number is a constant in them. All
//! instances count in the maps of the first.

use std::os::fd::{AsFd, BorrowedFd};

use libbpf_rs::{MapCore, MapHandle, OpenObject};
use zerocopy::IntoBytes;

use super::config::Source;
use super::links::Layer;
use crate::object::{ObjectError, Packed, heard};
use crate::tracers::object;
use crate::tracers::wire::FlowConfig;

/// The section with the constants.
const CONSTANTS: &str = ".rodata.config";
/// First letters of the names of maps that belong to one instance.
const OWN: &str = ".";

/// What differs between instances.
pub(super) type Constants = FlowConfig;

/// Programs by what packets begin with, for packets that come in and that go out.
struct Programs {
    file: Packed,
    ethernet: [&'static str; 2],
    ip: [&'static str; 2],
}

fn programs(source: Source) -> Programs {
    match source {
        Source::SocketFilter => Programs {
            file: object!("flow_socket"),
            ethernet: ["flow_eth", "flow_eth"],
            ip: ["flow_ip", "flow_ip"],
        },
        Source::Tc => Programs {
            file: object!("flow_tc"),
            ethernet: ["flow_eth_in", "flow_eth_out"],
            ip: ["flow_ip_in", "flow_ip_out"],
        },
    }
}

impl Source {
    /// Its name in settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SocketFilter => "socket_filter",
            Self::Tc => "tc",
        }
    }

    /// Its name in reports.
    pub(super) const fn unit(self) -> &'static str {
        match self {
            Self::SocketFilter => "flow socket_filter",
            Self::Tc => "flow tc",
        }
    }
}

/// Programs in the kernel.
#[derive(Debug)]
pub(super) struct Instance {
    object: libbpf_rs::Object,
    source: Source,
}

impl Instance {
    /// Loads the programs. `sizes` are entries (of rings: bytes) of maps that settings decide about.
    pub(super) fn load(
        source: Source,
        constants: Constants,
        sizes: &[(&'static str, u32)],
        first: Option<&Self>,
    ) -> Result<Self, ObjectError> {
        let mut open = programs(source).file.open("flow")?;
        prepare(&mut open, constants, sizes, first)?;
        let object = heard(|| open.load())
            .map_err(|(error, log)| ObjectError::Load { error: format!("{error:#}"), log })?;
        Ok(Self { object, source })
    }

    /// The programs for packets of an interface that come in and that go out.
    pub(super) fn programs(&self, layer: Layer) -> Option<[BorrowedFd<'_>; 2]> {
        let programs = programs(self.source);
        let [ingress, egress] = match layer {
            Layer::Ethernet => programs.ethernet,
            Layer::Ip => programs.ip,
            Layer::Other(_) => return None,
        };
        Some([self.program(ingress)?, self.program(egress)?])
    }

    fn program(&self, name: &str) -> Option<BorrowedFd<'_>> {
        let program = self.object.progs().find(|program| program.name() == name)?;
        // SAFETY: the descriptor is the object's, which is borrowed for as long as this is; the program that
        // lent it out is only a view of the object.
        Some(unsafe { BorrowedFd::borrow_raw(std::os::fd::AsRawFd::as_raw_fd(&program.as_fd())) })
    }

    /// Runs a program on a packet.
    #[cfg(test)]
    pub(super) fn run(&self, name: &str, input: libbpf_rs::ProgramInput<'_>) {
        let program = self.object.progs_mut().find(|program| program.name() == name);
        program.unwrap().test_run(input).unwrap();
    }

    /// The map `name`, by a descriptor of its own.
    pub(super) fn map(&self, name: &'static str) -> Result<MapHandle, ObjectError> {
        let map = self.object.maps().find(|map| map.name() == name);
        let map = map.ok_or(ObjectError::Name(name))?;
        MapHandle::try_from(&map).map_err(|error| unprepared(name, &error))
    }
}

fn prepare(
    open: &mut OpenObject,
    constants: Constants,
    sizes: &[(&'static str, u32)],
    first: Option<&Instance>,
) -> Result<(), ObjectError> {
    for mut map in open.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        if name == CONSTANTS {
            map.set_initial_value(constants.as_bytes())
                .map_err(|error| unprepared(&name, &error))?;
        } else if let Some(first) = first.filter(|_| !name.starts_with(OWN)) {
            let shared = first.object.maps().find(|map| map.name() == name.as_str());
            let shared = shared.ok_or_else(|| ObjectError::Map {
                map: name.clone(),
                error: "the first instance does not have it".to_owned(),
            })?;
            map.reuse_fd(shared.as_fd()).map_err(|error| unprepared(&name, &error))?;
        } else if let Some((_, entries)) = sizes.iter().find(|(sized, _)| *sized == name) {
            map.set_max_entries(*entries).map_err(|error| unprepared(&name, &error))?;
        }
    }
    Ok(())
}

fn unprepared(map: &str, error: &libbpf_rs::Error) -> ObjectError {
    ObjectError::Map { map: map.to_owned(), error: format!("{error:#}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_that_is_named_is_in_its_object_and_no_other() {
        for source in [Source::SocketFilter, Source::Tc] {
            let Programs { file, ethernet, ip } = programs(source);
            let open = file.open("flow").unwrap();
            let there: Vec<_> = open.progs().map(|program| program.name().to_owned()).collect();
            let named: Vec<_> = ethernet.into_iter().chain(ip).collect();
            assert!(named.iter().all(|name| there.iter().any(|found| found == name)), "{there:?}");
            assert!(there.iter().all(|found| named.iter().any(|name| found == name)), "{there:?}");
        }
    }
}
