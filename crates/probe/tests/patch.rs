// SPDX-License-Identifier: Apache-2.0
//! The agent's patcher of class files, built for the host, on the classes of the JDKs of this machine.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

mod host;

use std::path::{Path, PathBuf};
use std::process::Command;

/// The classes of the table, and which of `CALLS` are called in each.
const CLASSES: [(&str, u16); 36] = [
    ("java/util/concurrent/ThreadPoolExecutor", PUT | ENTER | LEAVE),
    ("java/util/concurrent/ScheduledThreadPoolExecutor", PUT),
    ("java/util/concurrent/LinkedBlockingQueue", PUT | TAKE | ROOM),
    ("java/util/concurrent/ArrayBlockingQueue", PUT | TAKE | ROOM),
    ("java/util/concurrent/LinkedBlockingDeque", PUT | TAKE | ROOM),
    ("java/util/concurrent/PriorityBlockingQueue", PUT | TAKE | ROOM),
    ("java/util/concurrent/DelayQueue", PUT | TAKE),
    ("java/util/concurrent/SynchronousQueue", PUT | TAKE),
    ("java/util/concurrent/LinkedTransferQueue", PUT | TAKE),
    ("java/util/concurrent/CompletableFuture$AsyncSupply", PUT | ENTER | LEAVE),
    ("java/util/concurrent/CompletableFuture$AsyncRun", PUT | ENTER | LEAVE),
    ("java/util/concurrent/CompletableFuture$UniCompletion", PUT),
    ("java/util/concurrent/CompletableFuture$UniApply", ENTER | LEAVE),
    ("java/util/concurrent/CompletableFuture$UniAccept", ENTER | LEAVE),
    ("java/util/concurrent/CompletableFuture$UniRun", ENTER | LEAVE),
    ("java/util/concurrent/CompletableFuture$UniWhenComplete", ENTER | LEAVE),
    ("java/util/concurrent/CompletableFuture$UniHandle", ENTER | LEAVE),
    ("java/util/concurrent/CompletableFuture$UniExceptionally", ENTER | LEAVE),
    ("java/util/concurrent/CompletableFuture$UniComposeExceptionally", ENTER | LEAVE),
    ("java/util/concurrent/CompletableFuture$UniCompose", ENTER | LEAVE),
    ("java/util/concurrent/CompletableFuture$BiApply", ENTER | LEAVE),
    ("java/util/concurrent/CompletableFuture$BiAccept", ENTER | LEAVE),
    ("java/util/concurrent/CompletableFuture$BiRun", ENTER | LEAVE),
    ("java/util/concurrent/CompletableFuture$OrApply", ENTER | LEAVE),
    ("java/util/concurrent/CompletableFuture$OrAccept", ENTER | LEAVE),
    ("java/util/concurrent/CompletableFuture$OrRun", ENTER | LEAVE),
    ("java/util/concurrent/ForkJoinPool", PUT),
    ("java/util/concurrent/ForkJoinTask", PUT),
    ("java/util/concurrent/RecursiveTask", ENTER | LEAVE),
    ("java/util/concurrent/RecursiveAction", ENTER | LEAVE),
    ("java/util/concurrent/CountedCompleter", ENTER | LEAVE),
    ("java/util/concurrent/ForkJoinTask$AdaptedCallable", PUT | ENTER | LEAVE),
    ("java/util/concurrent/ForkJoinTask$AdaptedInterruptibleCallable", PUT | ENTER | LEAVE),
    ("java/lang/VirtualThread", CREATE | RESUME | PAUSE | END),
    // What is not in the table is left alone.
    ("java/util/concurrent/CopyOnWriteArrayList", 0),
    ("java/util/concurrent/ForkJoinTask$RunnableExecuteAction", 0),
];

const PUT: u16 = 1;
const TAKE: u16 = 1 << 1;
const ENTER: u16 = 1 << 2;
const LEAVE: u16 = 1 << 3;
const CREATE: u16 = 1 << 4;
const RESUME: u16 = 1 << 5;
const PAUSE: u16 = 1 << 6;
const END: u16 = 1 << 7;
const ROOM: u16 = 1 << 8;
const CALLS: [u16; 9] = [PUT, TAKE, ENTER, LEAVE, CREATE, RESUME, PAUSE, END, ROOM];

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

/// What the patcher says to each file: its new length, and how often each of `CALLS` is called in it.
fn patched(files: &[Vec<u8>]) -> Vec<[usize; 10]> {
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
            let called = CALLS.into_iter().zip(counts).filter(|(_, count)| *count > 0);
            let called = called.fold(0, |all, (call, _)| all | call);
            assert_eq!(called, calls, "{name} of {}: {counts:?}", java.display());
            let least = file.len() + 8 * counts.iter().sum::<usize>();
            assert!(if called == 0 { length == 0 } else { length >= least }, "{name}: {length}");
        }
    }
}

#[test]
fn virtual_threads_whose_end_is_not_found_are_left_alone() {
    for java in javas() {
        let at = CLASSES.iter().position(|(name, _)| name.ends_with("/VirtualThread")).unwrap();
        let mut file = class_files(&java).remove(at);
        let end = file.windows(9).position(|bytes| bytes == b"afterDone");
        let Some(end) = end else { continue }; // JDK 17
        assert!(patched(std::slice::from_ref(&file))[0][0] > 0);
        file[end..end + 9].copy_from_slice(b"afterThat");
        assert_eq!(patched(&[file]), [[0; 10]]);
    }
}

#[test]
fn what_is_no_class_file_is_left_alone() {
    let none = [vec![0; 64], b"\xca\xfe\xba\xbe\0\0\0\x34\0\x01\0\0\0\0\0\0\0\0\0\0\0\0".to_vec()];
    assert_eq!(patched(&none), [[0; 10]; 2]);
}
