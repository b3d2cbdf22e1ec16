// SPDX-License-Identifier: Apache-2.0
//! The agent's patcher of class files, built for the host, on the classes of the JDKs of this machine.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

mod host;

use std::path::{Path, PathBuf};
use std::process::Command;

/// The classes of the table, and which of put, take, enter and leave are called in each.
const CLASSES: [(&str, [bool; 4]); 35] = [
    ("ThreadPoolExecutor", RUNS),
    ("ScheduledThreadPoolExecutor", PUTS),
    ("LinkedBlockingQueue", QUEUE),
    ("ArrayBlockingQueue", QUEUE),
    ("LinkedBlockingDeque", QUEUE),
    ("PriorityBlockingQueue", QUEUE),
    ("DelayQueue", QUEUE),
    ("SynchronousQueue", QUEUE),
    ("LinkedTransferQueue", QUEUE),
    ("CompletableFuture$AsyncSupply", RUNS),
    ("CompletableFuture$AsyncRun", RUNS),
    ("CompletableFuture$UniCompletion", PUTS),
    ("CompletableFuture$UniApply", FIRES),
    ("CompletableFuture$UniAccept", FIRES),
    ("CompletableFuture$UniRun", FIRES),
    ("CompletableFuture$UniWhenComplete", FIRES),
    ("CompletableFuture$UniHandle", FIRES),
    ("CompletableFuture$UniExceptionally", FIRES),
    ("CompletableFuture$UniComposeExceptionally", FIRES),
    ("CompletableFuture$UniCompose", FIRES),
    ("CompletableFuture$BiApply", FIRES),
    ("CompletableFuture$BiAccept", FIRES),
    ("CompletableFuture$BiRun", FIRES),
    ("CompletableFuture$OrApply", FIRES),
    ("CompletableFuture$OrAccept", FIRES),
    ("CompletableFuture$OrRun", FIRES),
    ("ForkJoinPool", PUTS),
    ("ForkJoinTask", PUTS),
    ("RecursiveTask", FIRES),
    ("RecursiveAction", FIRES),
    ("CountedCompleter", FIRES),
    ("ForkJoinTask$AdaptedCallable", RUNS),
    ("ForkJoinTask$AdaptedInterruptibleCallable", RUNS),
    // What is not in the table is left alone.
    ("CopyOnWriteArrayList", [false; 4]),
    ("ForkJoinTask$RunnableExecuteAction", [false; 4]),
];
const PUTS: [bool; 4] = [true, false, false, false];
const QUEUE: [bool; 4] = [true, true, false, false];
const RUNS: [bool; 4] = [true, false, true, true];
const FIRES: [bool; 4] = [false, false, true, true];

/// The programs `java` of the JDKs of this machine that can compile.
fn javas() -> Vec<PathBuf> {
    let found = std::fs::read_dir("/usr/lib/jvm").into_iter().flatten().flatten();
    let found = found.filter(|entry| entry.file_type().unwrap().is_dir());
    let javas = found.map(|entry| entry.path().join("bin/java"));
    javas.filter(|java| java.exists() && java.with_file_name("javac").exists()).collect()
}

/// The class files of `CLASSES`; one that the JDK does not have is empty.
fn class_files(java: &Path) -> Vec<Vec<u8>> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/java/Classes.java");
    let said =
        Command::new(java).arg(program).args(CLASSES.map(|(name, _)| name)).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let mut rest = said.stdout.as_slice();
    let mut files = Vec::new();
    while let Some((length, behind)) = rest.split_first_chunk() {
        let (file, behind) = behind.split_at(u32::from_be_bytes(*length).try_into().unwrap());
        files.push(file.to_vec());
        rest = behind;
    }
    files
}

/// What the patcher says to each file: its new length, and how often each of the four is called in it.
fn patched(files: &[Vec<u8>]) -> Vec<[usize; 5]> {
    let case =
        |file: &Vec<u8>| [&u32::try_from(file.len()).unwrap().to_ne_bytes(), &file[..]].concat();
    let said = host::say("patch", files.iter().flat_map(case).collect());
    let numbers = |line: &str| {
        let numbers: Vec<_> = line.split(' ').map(|number| number.parse().unwrap()).collect();
        numbers.try_into().unwrap()
    };
    said.lines().map(numbers).collect()
}

#[test]
fn each_class_of_the_table_gets_its_calls_and_spoilt_ones_do_no_harm() {
    for java in javas() {
        let files = class_files(&java);
        assert_eq!(files.len(), CLASSES.len());
        let there = CLASSES.iter().zip(&files).filter(|(_, file)| !file.is_empty());
        let (classes, files): (Vec<_>, Vec<_>) =
            there.map(|(class, file)| (class, file.clone())).unzip();
        assert!(classes.len() > 30, "{classes:?}");
        let said = patched(&files);
        assert_eq!(said.len(), files.len());
        for (((name, calls), file), [length, counts @ ..]) in
            classes.into_iter().zip(&files).zip(said)
        {
            assert_eq!(
                counts.map(|count| count > 0),
                calls,
                "{name} of {}: {counts:?}",
                java.display()
            );
            if calls.contains(&true) {
                assert!(
                    length >= file.len() + 8 * counts.iter().sum::<usize>(),
                    "{name}: {length}"
                );
            } else {
                assert_eq!(length, 0, "{name}");
            }
        }
    }
}

#[test]
fn what_is_no_class_file_is_left_alone() {
    let none = [vec![0; 64], b"\xca\xfe\xba\xbe\0\0\0\x34\0\x01\0\0\0\0\0\0\0\0\0\0\0\0".to_vec()];
    assert_eq!(patched(&none), [[0; 5]; 2]);
}
