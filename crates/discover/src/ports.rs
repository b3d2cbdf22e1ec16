// SPDX-License-Identifier: Apache-2.0
//! TCP ports that processes listen on: the sockets of a process looked up in the table of its network
//! namespace, so that a port of a container is the one the container sees.
//!
//! Only wanted ports are kept, and the sockets of a process are listed only where its namespace has one.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::rc::Rc;

use crate::proc;
use crate::select::Criteria;

/// State of a listening socket in `/proc/net/tcp` (`TCP_LISTEN`).
const LISTEN: &str = "0A";

/// Inode of each wanted listening socket of a namespace, with its port.
type Table = HashMap<u64, u16>;

/// Tables of network namespaces, by inode.
#[derive(Debug, Default)]
pub(crate) struct Listening {
    /// Read in this turn.
    tables: HashMap<u64, Rc<Table>>,
    /// Sockets that were there when all processes were looked at last.
    known: HashMap<u64, HashSet<u64>>,
}

impl Listening {
    /// Forgets what was read: from now on it may have changed.
    pub(crate) fn begin(&mut self) {
        self.tables.clear();
    }

    /// The wanted ports that `pid` listens on.
    pub(crate) fn of(&mut self, pid: u32, criteria: &Criteria) -> Vec<u16> {
        let Some((_, table)) = self.table(pid, criteria) else { return Vec::new() };
        held(pid, &table)
    }

    /// The same for a process that was looked at before: nothing when no socket has come up since.
    pub(crate) fn new_of(&mut self, pid: u32, criteria: &Criteria) -> Vec<u16> {
        let Some((namespace, table)) = self.table(pid, criteria) else { return Vec::new() };
        let known = self.known.get(&namespace);
        let news = table.keys().any(|inode| known.is_none_or(|known| !known.contains(inode)));
        if news { held(pid, &table) } else { Vec::new() }
    }

    /// All processes have been looked at.
    pub(crate) fn end(&mut self) {
        let sockets = |table: &Rc<Table>| table.keys().copied().collect();
        self.known = self.tables.iter().map(|(ns, table)| (*ns, sockets(table))).collect();
    }

    fn table(&mut self, pid: u32, criteria: &Criteria) -> Option<(u64, Rc<Table>)> {
        let namespace = fs::metadata(format!("/proc/{pid}/ns/net")).ok()?.ino();
        let table = self.tables.entry(namespace).or_insert_with(|| Rc::new(read(pid, criteria)));
        Some((namespace, Rc::clone(table)))
    }
}

fn held(pid: u32, table: &Table) -> Vec<u16> {
    if table.is_empty() {
        return Vec::new();
    }
    proc::sockets(pid).iter().filter_map(|inode| table.get(inode).copied()).collect()
}

fn read(pid: u32, criteria: &Criteria) -> Table {
    let mut table = Table::new();
    for name in ["tcp", "tcp6"] {
        let Ok(file) = File::open(format!("/proc/{pid}/net/{name}")) else { continue };
        for line in BufReader::new(file).lines().skip(1).map_while(Result::ok) {
            // The kernel lists all listening sockets before the others (tcp_get_idx), of which there may be
            // a hundred thousand.
            let Some((inode, port)) = listener(&line) else { break };
            if criteria.wants_port(port) {
                table.insert(inode, port);
            }
        }
    }
    table
}

/// Inode and port of a listening socket's line.
fn listener(line: &str) -> Option<(u64, u16)> {
    let mut fields = line.split_ascii_whitespace();
    let (_, port) = fields.nth(1)?.rsplit_once(':')?;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?.parse().ok()?;
    (state == LISTEN).then_some((inode, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_listening_socket_names_inode_and_port() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 5423 1 0 100 0 0 10 0";
        assert_eq!(listener(line), Some((5423, 8080)));
        let six = "  12: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 77 1";
        assert_eq!(listener(six), Some((77, 80)));
        assert_eq!(listener(&line.replace(" 0A ", " 01 ")), None);
        for cut in 0..70 {
            assert_eq!(listener(&line[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn the_running_kernel_lists_listening_sockets_first() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = std::net::TcpStream::connect(server.local_addr().unwrap()).unwrap();
        let table = fs::read_to_string("/proc/self/net/tcp").unwrap();
        let listens: Vec<_> = table.lines().skip(1).map(|line| listener(line).is_some()).collect();
        assert!(listens.contains(&true) && listens.contains(&false));
        assert!(listens.is_sorted_by_key(|listens| !listens), "{table}");
    }
}
