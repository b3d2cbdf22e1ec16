// SPDX-License-Identifier: Apache-2.0
//! Acting as the user of another process.
//!
//! `HotSpot` takes requests from its own user only, and files that are made as that user are its own; nothing can be
//! written where it could not write.

use std::io;
use std::panic::resume_unwind;
use std::thread::{self, Builder};

use rustix::process::{
    DumpableBehavior, Gid, Uid, dumpable_behavior, getegid, geteuid, set_dumpable_behavior,
};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// Runs `act` with these effective ids and no further groups, on a thread that ends with it. The other threads stay
/// who they are.
///
/// Only the effective ids change: whoever has the ids of `act`'s thread may still neither trace nor signal it.
pub(super) fn wearing<T: Send>(
    user: u32,
    group: u32,
    act: impl FnOnce() -> T + Send,
) -> io::Result<T> {
    let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
    if (geteuid(), getegid()) == (user, group) {
        return Ok(act());
    }
    let dumpable = dumpable_behavior()?;
    let work = || -> io::Result<T> {
        set_thread_groups(&[])?;
        set_thread_res_gid(None, group, None)?;
        set_thread_res_uid(None, user, None)?;
        Ok(act())
    };
    let done = thread::scope(|scope| {
        let thread = Builder::new().name("vor-attach-as".into()).spawn_scoped(scope, work)?;
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    });
    // A change of ids takes it from the whole process.
    if dumpable == DumpableBehavior::Dumpable {
        set_dumpable_behavior(dumpable)?;
    }
    done
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::Command;
    use std::sync::mpsc::sync_channel;

    use rustix::thread::gettid;

    use super::*;

    /// Whether a program of that user may send this thread signals.
    fn may_be_signalled(thread: &str) -> bool {
        let mut kill = Command::new("/bin/kill");
        kill.args(["-0", thread]).uid(65534).gid(65533).status().unwrap().success()
    }

    #[test]
    #[ignore = "needs root"]
    fn root_only_one_thread_changes_and_only_for_the_act() {
        let dir = tempfile::tempdir().unwrap();
        let denied = dir.path().join("x");
        let before = dumpable_behavior().unwrap();
        let (say, heard) = sync_channel::<String>(1);
        let (answer, answered) = sync_channel(1);
        let denied = thread::scope(|scope| {
            scope.spawn(move || answer.send(may_be_signalled(&heard.recv().unwrap())));
            wearing(65534, 65533, move || {
                assert_eq!((geteuid().as_raw(), getegid().as_raw()), (65534, 65533));
                say.send(gettid().as_raw_nonzero().to_string()).unwrap();
                assert!(!answered.recv().unwrap());
                std::fs::write(denied, "")
            })
        });
        assert_eq!(denied.unwrap().unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert!(geteuid().is_root() && getegid().is_root());
        assert_eq!(dumpable_behavior().unwrap(), before);
    }
}
