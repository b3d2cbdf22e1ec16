// SPDX-License-Identifier: Apache-2.0
//! Kernel programs: the five lines of their header, and names the kernel does not cut.

use super::Source;

/// What the header of each `.bpf.c` tells.
const TOLD: &[&str] = &["In", "Out", "State", "Needs", "Cost"];

/// `BPF_OBJ_NAME_LEN` without the closing zero.
const NAME: usize = 15;

pub(crate) fn check(source: &Source) -> Vec<String> {
    let in_kernel =
        source.is(".bpf.c") || (source.is(".h") && source.path.starts_with("crates/probe"));
    if !in_kernel {
        return Vec::new();
    }
    let mut faults = Vec::new();
    if source.is(".bpf.c") {
        let header: Vec<_> = source.text.lines().take_while(|l| !l.contains("*/")).collect();
        for word in TOLD {
            if !header.iter().any(|line| line.starts_with(&format!(" * {word} "))) {
                faults.push(format!("{}: the header does not say {word}", source.name()));
            }
        }
    }
    for name in names(&source.text).filter(|name| name.len() > NAME) {
        faults.push(format!(
            "{}: `{name}` is longer than {NAME} letters; the kernel would cut it",
            source.name()
        ));
    }
    faults
}

/// Maps (`} name SEC(".maps")`) and programs (the function after a `SEC("…")` line).
fn names(text: &str) -> impl Iterator<Item = &str> {
    let next = text.lines().skip(1).chain(std::iter::once(""));
    text.lines().zip(next).filter_map(|(line, next)| {
        if let Some((before, _)) = line.split_once("SEC(\".maps\")") {
            return before.trim_start_matches('}').split_whitespace().last();
        }
        if line.starts_with("SEC(\"") { program(next) } else { None }
    })
}

/// `int BPF_PROG(name, …)` or `int name(…)`.
fn program(line: &str) -> Option<&str> {
    let (before, after) = line.split_once('(')?;
    let name = before.split_whitespace().last()?;
    if !name.starts_with("BPF_") {
        return Some(name);
    }
    after.split([',', ')']).next().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_and_programs_are_found() {
        let text = "struct {\n} socket_conns SEC(\".maps\");\n\nSEC(\"tp_btf/x\")\nint BPF_PROG(socket_state, int a)\n\nSEC(\"tracepoint/y\")\nint socket_read(void *ctx)\n";
        let found: Vec<_> = names(text).collect();
        assert_eq!(found, ["socket_conns", "socket_state", "socket_read"]);
    }

    #[test]
    fn a_name_that_the_kernel_would_cut_is_a_fault() {
        let text = "} socket_connections SEC(\".maps\");\n".to_owned();
        let source = Source { path: "crates/probe/bpf/lib/conn.h".into(), text };
        assert_eq!(check(&source).len(), 1);
    }
}
