// SPDX-License-Identifier: Apache-2.0
//! The two tables in which the kernel counts by turns (`tracers/flow/table.h`).

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd};

use libbpf_rs::{MapCore, MapFlags, MapHandle};
use vor_health::count;
use zerocopy::FromBytes;

use crate::tracers::wire::{FlowCount, FlowKey};

/// Entries that are taken at once.
const BATCH: u32 = 1024;

/// The tables.
#[derive(Debug)]
pub(super) struct Tables {
    /// The one that counts, then the other.
    maps: [MapHandle; 2],
    now: MapHandle,
    processors: usize,
    keys: Vec<u8>,
    values: Vec<u8>,
    room: u32,
}

impl Tables {
    /// Lets the first of `maps` count.
    pub(super) fn new(maps: [MapHandle; 2], now: MapHandle) -> io::Result<Self> {
        let processors = libbpf_rs::num_possible_cpus().map_err(io::Error::other)?;
        let mut tables =
            Self { maps, now, processors, keys: Vec::new(), values: Vec::new(), room: 0 };
        tables.make_room(BATCH)?;
        tables.let_count()?;
        Ok(tables)
    }

    /// Empties the table that has counted, while the other one counts on: `each` gets a flow and what all
    /// processors have counted of it. Returns how many flows there were.
    pub(super) fn drain(&mut self, each: impl FnMut(&FlowKey, &FlowCount)) -> io::Result<u64> {
        self.maps.swap(0, 1);
        // When this call returns, no program uses the other table any more.
        if let Err(error) = self.let_count() {
            self.maps.swap(0, 1);
            return Err(error);
        }
        self.take(each)
    }

    fn let_count(&self) -> io::Result<()> {
        let [counting, _] = &self.maps;
        let fd = counting.as_fd().as_raw_fd().to_ne_bytes();
        self.now.update(&0_u32.to_ne_bytes(), &fd, MapFlags::ANY).map_err(io::Error::other)
    }

    fn take(&mut self, mut each: impl FnMut(&FlowKey, &FlowCount)) -> io::Result<u64> {
        let (mut taken, mut after, mut first) = (0, [0; size_of::<u64>()], true);
        loop {
            let (n, end) = match self.batch(&mut after, first) {
                Ok(batch) => batch,
                // One bucket of the hash has more entries than there is room for.
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                    self.make_room(self.room.saturating_mul(2))?;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let per_flow = size_of::<FlowCount>() * self.processors;
            let keys = self.keys.chunks_exact(size_of::<FlowKey>());
            for (key, values) in keys.zip(self.values.chunks_exact(per_flow)).take(n) {
                let Ok(key) = FlowKey::ref_from_bytes(key) else { continue };
                each(key, &sum(values));
            }
            taken += count(n);
            if end {
                return Ok(taken);
            }
            first = false;
        }
    }

    /// Takes the next entries out; says how many, and whether they were the last.
    fn batch(&mut self, after: &mut [u8; 8], first: bool) -> io::Result<(usize, bool)> {
        let options = libbpf_sys::bpf_map_batch_opts {
            sz: size_of::<libbpf_sys::bpf_map_batch_opts>().try_into().map_err(io::Error::other)?,
            ..Default::default()
        };
        let [_, counted] = &self.maps;
        let before = *after;
        let from = if first { std::ptr::null_mut() } else { before.as_ptr().cast_mut().cast() };
        let mut n = self.room;
        // SAFETY: `keys` and `values` have room for `n` entries (`make_room`); a hash's position is 4 bytes, for
        // which `before` and `after` have 8; the kernel only reads `from`.
        let error = unsafe {
            libbpf_sys::bpf_map_lookup_and_delete_batch(
                counted.as_fd().as_raw_fd(),
                from,
                after.as_mut_ptr().cast(),
                self.keys.as_mut_ptr().cast(),
                self.values.as_mut_ptr().cast(),
                &raw mut n,
                &raw const options,
            )
        };
        let n = usize::try_from(n).map_err(io::Error::other)?;
        match -error {
            0 => Ok((n, false)),
            libc::ENOENT => Ok((n, true)),
            code => Err(io::Error::from_raw_os_error(code)),
        }
    }

    fn make_room(&mut self, entries: u32) -> io::Result<()> {
        let n = usize::try_from(entries).map_err(io::Error::other)?;
        self.keys.resize(n * size_of::<FlowKey>(), 0);
        self.values.resize(n * size_of::<FlowCount>() * self.processors, 0);
        self.room = entries;
        Ok(())
    }
}

/// What all processors have counted of one flow.
fn sum(values: &[u8]) -> FlowCount {
    let mut all = FlowCount {
        packets: 0,
        bytes: 0,
        first_ns: u64::MAX,
        last_ns: 0,
        resets: 0,
        zero_windows: 0,
        vlan: 0,
        tcp_flags: 0,
        initiator: 0,
        _pad: [0; 4],
    };
    let counts = values.chunks_exact(size_of::<FlowCount>());
    for one in counts.flat_map(FlowCount::read_from_bytes) {
        all.packets += one.packets;
        all.bytes += one.bytes;
        if one.first_ns != 0 {
            all.first_ns = all.first_ns.min(one.first_ns);
        }
        all.last_ns = all.last_ns.max(one.last_ns);
        all.resets = all.resets.saturating_add(one.resets);
        all.zero_windows = all.zero_windows.saturating_add(one.zero_windows);
        all.tcp_flags |= one.tcp_flags;
        if one.vlan != 0 {
            all.vlan = one.vlan;
        }
        if one.initiator != 0 {
            all.initiator = one.initiator;
        }
    }
    all.first_ns = all.first_ns.min(all.last_ns);
    all
}
