// SPDX-License-Identifier: Apache-2.0
//! Sockets of TCP and UDP: which process has which, and what TCP says of its connections.
//!
//! In: changes of TCP states, and all open files when asked. Out: [`TcpstatRecord`]s for the flow tracer, which
//! joins them with flows.

use std::io::{self, Read};
use std::mem::size_of;

use libbpf_rs::{Iter, Link, MapCore, MapFlags, MapHandle};
use zerocopy::FromBytes;

use crate::object::{ObjectError, heard};
use crate::tracers::object;
use crate::tracers::wire::{TCPSTAT_LOST, TcpstatRecord};

/// Its name in reports.
pub(crate) const UNIT: &str = "tcpstat";
/// Records that are read at once.
const BATCH: usize = 512;
const LISTING: &str = "tcpstat_files";
const EVENTS: &str = "tcpstat_state";

/// The programs in the kernel.
#[derive(Debug)]
pub(crate) struct Tcpstat {
    object: libbpf_rs::Object,
    listing: Link,
    events: Option<Link>,
}

impl Tcpstat {
    /// Loads and attaches them.
    pub(crate) fn open() -> Result<Self, ObjectError> {
        let open = object!("tcpstat").open(UNIT)?;
        let object = heard(|| open.load())
            .map_err(|(error, log)| ObjectError::Load { error: format!("{error:#}"), log })?;
        let listing = attach(&object, LISTING)?;
        let events = Some(attach(&object, EVENTS)?);
        Ok(Self { object, listing, events })
    }

    /// The ring of events.
    pub(crate) fn ring(&self) -> Result<MapHandle, ObjectError> {
        self.map("tcpstat_events")
    }

    /// Goes through all sockets that processes have open now.
    pub(crate) fn list(&self, mut each: impl FnMut(&TcpstatRecord)) -> io::Result<()> {
        let mut listing = Iter::new(&self.listing).map_err(io::Error::other)?;
        let mut bytes = vec![0; BATCH * size_of::<TcpstatRecord>()];
        let mut filled = 0;
        loop {
            let read = match listing.read(bytes.get_mut(filled..).unwrap_or_default()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            filled += read;
            let whole = filled - filled % size_of::<TcpstatRecord>();
            for record in bytes.get(..whole).unwrap_or_default().chunks(size_of::<TcpstatRecord>())
            {
                if let Ok(record) = TcpstatRecord::ref_from_bytes(record) {
                    each(record);
                }
            }
            bytes.copy_within(whole..filled, 0);
            filled -= whole;
            if read == 0 {
                return Ok(());
            }
        }
    }

    /// Events that found the ring full.
    pub(crate) fn lost(&self) -> u64 {
        let read = |map: MapHandle| map.lookup_percpu(&TCPSTAT_LOST.to_ne_bytes(), MapFlags::ANY);
        let Ok(Ok(Some(per_cpu))) = self.map("tcpstat_totals").map(read) else { return 0 };
        let number = |bytes: &Vec<u8>| bytes.first_chunk().copied().map_or(0, u64::from_ne_bytes);
        per_cpu.iter().map(number).sum()
    }

    /// Takes the programs out of the kernel. The ring stays until it is dropped.
    pub(crate) fn detach(&mut self) {
        self.events = None;
    }

    fn map(&self, name: &'static str) -> Result<MapHandle, ObjectError> {
        let map = self.object.maps().find(|map| map.name() == name);
        let map = map.ok_or(ObjectError::Name(name))?;
        MapHandle::try_from(&map)
            .map_err(|error| ObjectError::Map { map: name.to_owned(), error: error.to_string() })
    }
}

fn attach(object: &libbpf_rs::Object, name: &'static str) -> Result<Link, ObjectError> {
    let program = object.progs_mut().find(|program| program.name() == name);
    let program = program.ok_or(ObjectError::Name(name))?;
    heard(|| program.attach()).map_err(|(error, log)| ObjectError::Attach {
        program: name,
        error: format!("{error:#}"),
        log,
    })
}
