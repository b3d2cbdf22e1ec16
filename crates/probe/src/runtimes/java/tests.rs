// SPDX-License-Identifier: Apache-2.0
use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use super::*;

/// The plan for the file at `path`.
fn plan_of(path: &Path) -> Plan {
    let (file, key) = vor_exe::open(path).unwrap();
    let exe = vor_exe::Executable::read(&file, key).unwrap();
    let go = &OnceCell::new();
    let part = Part::Library;
    plan(&Binary { part, path, file: &file, key, exe: &exe, go, go_offsets: "" }).unwrap().unwrap()
}

#[test]
fn the_agent_needs_no_library_and_has_a_place_for_each_program() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path());
    let (file, key) = vor_exe::open(&path).unwrap();
    let exe = vor_exe::Executable::read(&file, key).unwrap();
    assert!(exe.facts.needed.is_empty(), "{:?}", exe.facts.needed);
    let offsets: BTreeSet<_> = plan_of(&path).places.iter().map(|place| place.offset).collect();
    assert_eq!(offsets.len(), PROGRAMS.len());
}

#[test]
fn each_jvm_says_when_it_starts_a_thread() {
    for java in javas() {
        let home = std::fs::canonicalize(&java).unwrap();
        let library = home.parent().unwrap().with_file_name("lib/server").join(LIBRARY);
        let programs: Vec<_> = plan_of(&library).places.iter().map(|at| at.program).collect();
        assert_eq!(programs, [STARTS], "{}", library.display());
    }
}

#[test]
fn the_jvm_and_the_agent_are_wanted_as_libraries() {
    let wanted = |part, name: &str| wants(part, &Path::new("/tmp").join(name));
    assert!(wanted(Part::Library, ".vor-java-0123456789abcdef.so"));
    assert!(wanted(Part::Library, ".vor-java-0123456789abcdef.so (deleted)"));
    assert!(!wanted(Part::Executable, ".vor-java-0123456789abcdef.so"));
    assert!(wanted(Part::Library, "libjvm.so"));
    assert!(!wanted(Part::Library, "libjava.so"));
}

/// Ways to run a JVM that treat classes, natives and objects differently.
const MODES: [&[&str]; 5] = [
    &["-Xverify:all", "-Xcheck:jni", "-XX:+UseG1GC"],
    &["-Xverify:all", "-Xint", "-XX:+UseSerialGC"],
    &["-Xverify:all", "-XX:-UseCompressedOops", "-XX:+UseParallelGC"],
    &["-Xcheck:jni", "-XX:+UseZGC"],
    &["-Xcomp", "-XX:TieredStopAtLevel=1", "-XX:+UnlockExperimentalVMOptions"],
];
/// Classes that every JDK from 11 on has of the agent's table.
const CLASSES: usize = 31;

#[test]
fn a_program_that_uses_every_row_says_the_same_with_the_agent() {
    let dir = tempfile::tempdir().unwrap();
    let agent = format!("-agentpath:{}", written(dir.path()).display());
    let log = dir.path().join("log");
    for java in javas() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/java/Rows.java");
        let built = Command::new(java.with_file_name("javac"))
            .arg("-d")
            .arg(dir.path())
            .arg(source)
            .status();
        assert!(built.unwrap().success());
        for mode in MODES {
            let run = |extra: &[&str]| {
                let mut command = Command::new(&java);
                command.args(mode).args(extra).arg("-cp").arg(dir.path()).args(["Rows", "20"]);
                let output = command.output().unwrap();
                assert!(output.status.success(), "{command:?}: {output:?}");
                let said = [output.stdout, output.stderr].concat();
                String::from_utf8(said).unwrap()
            };
            let logged = format!("-Xlog:redefine+class+load=info:file={}", log.display());
            let with = run(&[&agent, &logged]);
            assert_eq!(with, run(&[]), "{} {mode:?}", java.display());
            let redefined = std::fs::read_to_string(&log).unwrap();
            let count = redefined.matches("redefined name=").count();
            assert!(count >= CLASSES, "{} {mode:?}: {count}", java.display());
        }
    }
}

/// The programs `java` of the JDKs of this machine that can compile.
fn javas() -> Vec<PathBuf> {
    let found = std::fs::read_dir("/usr/lib/jvm").into_iter().flatten().flatten();
    let found = found.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let javas = found.map(|entry| entry.path().join("bin/java"));
    javas.filter(|java| java.exists() && java.with_file_name("javac").exists()).collect()
}

/// The agent as a file in `dir`.
fn written(dir: &Path) -> PathBuf {
    let path = dir.join(format!("{AGENT_NAME}0.so"));
    std::fs::write(&path, agent::AGENT).unwrap();
    path
}
