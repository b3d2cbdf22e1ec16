// SPDX-License-Identifier: Apache-2.0
//! What is asked of Go programs, held against the table of offsets and a real program.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::process::Command;

use vor_exe::go::OFFSETS;

use super::LIBRARIES;
use super::library::{of_program, read};

/// Answers requests, asks one, and reads a database: everything that needs no module.
const SOURCE: &str = r#"package main

import (
	"database/sql"
	"net/http"
)

func main() {
	db, _ := sql.Open("none", "")
	db.Exec("SELECT 1")
	db.Query("SELECT 1")
	http.Get("https://127.0.0.1:1")
	http.ListenAndServeTLS("127.0.0.1:0", "", "", nil)
}
"#;

#[test]
fn the_table_knows_every_field_that_a_unit_cannot_do_without() {
    let mut table: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut of = "";
    for line in OFFSETS.lines() {
        match line.strip_prefix(' ').and_then(|field| field.split_once(' ')) {
            Some((field, _)) => {
                table.entry(of).or_default().insert(field);
            }
            None => of = line,
        }
    }
    let known = |of: &&str, name: &&str| table.get(of).is_some_and(|known| known.contains(name));
    let mut unknown: BTreeSet<&str> = BTreeSet::new();
    for field in LIBRARIES.iter().flat_map(|library| library.facts()) {
        let found = field.of.iter().any(|of| field.name.iter().any(|name| known(of, name)));
        if !found && !field.optional {
            unknown.extend(field.of);
        }
    }
    assert_eq!(Vec::from_iter(unknown), Vec::<&str>::new());
}

#[test]
fn every_struct_that_a_feature_needs_is_one_whose_fields_are_asked_for() {
    for library in LIBRARIES {
        let asked: BTreeSet<_> = library.facts().flat_map(|field| field.of).collect();
        for feature in library.features {
            for need in feature.needs {
                assert!(asked.contains(need), "{}: {need}", feature.name);
            }
        }
    }
}

#[test]
fn a_program_gets_the_probes_of_what_is_linked_into_it() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("main.go"), SOURCE).unwrap();
    std::fs::write(dir.path().join("go.mod"), "module example.org/shop\n\ngo 1.19\n").unwrap();
    let mut go = Command::new("go");
    go.args(["build", "-ldflags=-s -w", "-o", "shop", "."]).current_dir(dir.path());
    let built = go.env("CGO_ENABLED", "0").env("GOTOOLCHAIN", "local").status();
    assert!(built.is_ok_and(|status| status.success()), "go build: scripts/install check");
    let program = read(&dir.path().join("shop"), OFFSETS).unwrap();
    let mut plans = String::new();
    for library in LIBRARIES {
        let Some(plan) = of_program(library, &program) else { continue };
        // Since Go 1.27 calls over HTTP/2 end with those of the transport.
        let programs = plan.places.iter().map(|place| place.program);
        let programs: BTreeSet<_> = programs.filter(|name| *name != "go_http2_asked").collect();
        writeln!(plans, "{}", Vec::from_iter(programs).join(" ")).unwrap();
        assert_eq!(plan.without, Vec::<String>::new());
        assert_eq!(plan.facts.len(), 2 * library.facts().count());
    }
    let expected = "\
go_sched_born go_sched_exit go_sched_new go_sched_out go_sched_pass go_sched_put go_sched_recv \
go_sched_select go_sched_send go_sched_take
go_tls_got go_tls_read go_tls_record go_tls_shakes go_tls_write
go_http2_ask go_http2_done go_http2_head go_http2_leaves go_http2_serve go_http2_served go_http_ask \
go_http_asked go_http_conn go_http_mux go_http_over go_http_read go_http_serve go_http_served
go_db_exec go_db_execd go_db_queried go_db_query
go_write_frame go_write_line
";
    assert_eq!(plans, expected);
}
