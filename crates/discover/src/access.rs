// SPDX-License-Identifier: Apache-2.0
//! What it means that processes do not let vor look at their program.

use rustix::thread::{CapabilitySet, capabilities};
use vor_health::Verdict;

/// The verdict when `denied` processes could not be looked at. With the capability for it these are sandboxes of
/// their own, about which nobody can do anything.
pub(crate) fn verdict(denied: usize) -> Verdict {
    let able =
        || capabilities(None).is_ok_and(|own| own.effective.contains(CapabilitySet::SYS_PTRACE));
    if denied == 0 || able() { Verdict::Active } else { Verdict::Degraded(advice(denied)) }
}

fn advice(denied: usize) -> String {
    let who = match denied {
        1 => "1 process denies a look at its program".to_owned(),
        several => format!("{several} processes deny a look at their programs"),
    };
    format!("{who}: give vor CAP_SYS_PTRACE to observe other users' processes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_denies_and_several_deny() {
        assert!(advice(1).starts_with("1 process denies a look at its program: "));
        assert!(advice(2).starts_with("2 processes deny a look at their programs: "));
    }

    #[test]
    fn without_denials_all_is_well() {
        assert_eq!(verdict(0), Verdict::Active);
    }
}
