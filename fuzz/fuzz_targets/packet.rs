// SPDX-License-Identifier: Apache-2.0
//! Packets, cut anywhere, as flow programs read them: the verdict says how far it went, and nothing outside is read.
//! Input: the kind of the first header (one byte, by turns Ethernet, IPv4, IPv6), then the packet.
#![no_main]

use std::ffi::{c_int, c_uint, c_ushort};

use libfuzzer_sys::fuzz_target;

unsafe extern "C" {
    fn fuzz_packet(bytes: *const u8, len: c_uint, kind: c_ushort) -> c_int;
    static fuzz_window: c_uint;
    static fuzz_slack: c_uint;
}

const KINDS: [c_ushort; 3] = [0x6558, 0x0800, 0x86dd];

fuzz_target!(|input: (u8, &[u8])| {
    let (kind, packet) = input;
    // SAFETY: constants of the C file.
    let (window, slack) = unsafe { (fuzz_window as usize, fuzz_slack as usize) };
    let len = packet.len().min(window);
    // No longer than needed, so that a read beyond is seen; what is behind a packet in the kernel is older bytes.
    let mut bytes = vec![0xa5; len + slack];
    bytes[..len].copy_from_slice(&packet[..len]);
    // SAFETY: `bytes` has the packet and the slack behind it.
    let verdict = unsafe { fuzz_packet(bytes.as_ptr(), len as c_uint, KINDS[usize::from(kind) % 3]) };
    assert!(verdict >= 0, "what was read is not in the packet");
});
