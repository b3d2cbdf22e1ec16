// SPDX-License-Identifier: Apache-2.0
//! The files with code that a process has mapped, from `/proc/PID`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use vor_exe::FileKey;

use crate::code::Part;

/// Libraries of one process that are looked at.
const MAX_LIBRARIES: usize = 64;

/// A file that a process has mapped, open.
pub(super) struct Mapped {
    pub(super) part: Part,
    /// As the process sees it.
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) key: FileKey,
}

/// Those of process `pid` that are wanted. None when it is gone.
pub(super) fn of(pid: u32, wants: impl Fn(Part, &Path) -> bool) -> Vec<Mapped> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let exe = process.join("exe");
    let mut found = Vec::new();
    let Ok(program) = fs::read_link(&exe) else { return found };
    if wants(Part::Executable, &program) {
        found.extend(open(Part::Executable, &[exe], program.clone()));
    }
    let maps = fs::read(process.join("maps")).unwrap_or_default();
    let mut last = program.as_path();
    let mut libraries = 0;
    let maps = String::from_utf8_lossy(&maps);
    for (range, path) in maps.lines().filter_map(code) {
        // A file's mappings follow each other.
        if path == last {
            continue;
        }
        last = path;
        if !wants(Part::Library, path) || libraries == MAX_LIBRARIES {
            continue;
        }
        libraries += 1;
        // The mapping itself, which needs CAP_CHECKPOINT_RESTORE; else the path, as the process sees it.
        let ways = [
            process.join("map_files").join(range),
            process.join("root").join(path.strip_prefix("/").unwrap_or(path)),
        ];
        found.extend(open(Part::Library, &ways, path.to_owned()));
    }
    found
}

/// Opens the first of `ways` that can be opened.
fn open(part: Part, ways: &[PathBuf], path: PathBuf) -> Option<Mapped> {
    let (file, key) = ways.iter().find_map(|way| vor_exe::open(way).ok())?;
    Some(Mapped { part, path, file, key })
}

/// Address range and path of a line of `/proc/PID/maps`, when it is a file's code (`proc_pid_maps(5)`).
fn code(line: &str) -> Option<(&str, &Path)> {
    let (range, rest) = line.split_once(' ')?;
    let executable = rest.as_bytes().get(2) == Some(&b'x');
    let path = rest.get(rest.find('/')?..)?;
    executable.then(|| (range, Path::new(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_of_files_with_code_count() {
        let line = "7f00-7f10 r-xp 00026000 fe:00 1047 /usr/lib/libc.so.6";
        assert_eq!(code(line), Some(("7f00-7f10", Path::new("/usr/lib/libc.so.6"))));
        for none in ["7f00-7f10 r--p 0 fe:00 1 /lib/x", "7f00-7f10 r-xp 0 00:00 0 [vdso]", ""] {
            assert_eq!(code(none), None, "{none}");
        }
    }

    #[test]
    fn the_program_and_the_libraries_of_this_test_are_found() {
        let found = of(std::process::id(), |part, path| {
            part == Part::Executable || path.to_string_lossy().contains("libc.so")
        });
        let parts: Vec<_> = found.iter().map(|mapped| mapped.part).collect();
        assert_eq!(parts, [Part::Executable, Part::Library]);
        assert!(of(u32::MAX, |_, _| true).is_empty());
    }
}
