// SPDX-License-Identifier: Apache-2.0
//! Class files of any kind: the patcher reads and writes nothing outside of its bounds, and what it has patched is a
//! class file as far as it can tell itself. Begin with class files of `java.util.concurrent`.
#![no_main]

use libfuzzer_sys::fuzz_target;

unsafe extern "C" {
    fn fuzz_patch(bytes: *const u8, length: u32, out: *mut u8, room: u32) -> u32;
    fn fuzz_patch_room(length: u32) -> u32;
}

/// What becomes of a class file; none: it is left alone.
fn patched(bytes: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(bytes.len()).unwrap();
    // SAFETY: a number from a number.
    let room = unsafe { fuzz_patch_room(length) };
    let mut out = vec![0; room as usize];
    // SAFETY: both are as long as is said.
    let written = unsafe { fuzz_patch(bytes.as_ptr(), length, out.as_mut_ptr(), room) };
    assert!(written <= room);
    out.truncate(written as usize);
    (written > 0).then_some(out)
}

fuzz_target!(|bytes: &[u8]| {
    if let Some(once) = patched(bytes) {
        assert!(once.len() > bytes.len());
        // It has the same methods, so it would get the same calls again, unless they find no room.
        if once.len() < 0x4000 {
            assert!(patched(&once).is_some());
        }
    }
});
