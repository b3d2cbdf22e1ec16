// SPDX-License-Identifier: Apache-2.0
//! How a file begins: its licence, then what it is.

use super::Source;

pub(crate) fn check(source: &Source) -> Vec<String> {
    let name = source.name();
    let mut lines = source.text.lines();
    let first = lines.next().unwrap_or_default();
    if !first.contains("SPDX-License-Identifier: ") {
        return vec![format!("{name}: the first line is not its SPDX licence")];
    }
    let told = if source.is("tests.rs") || source.name().contains("/tests/") {
        true
    } else if source.is(".rs") {
        lines.next().is_some_and(|line| line.starts_with("//!"))
    } else {
        lines.take(3).any(|line| line.starts_with("/*") || line.starts_with("//"))
    };
    if told { Vec::new() } else { vec![format!("{name}: no header that says what it is")] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(path: &str, text: &str) -> usize {
        check(&Source { path: path.into(), text: text.into() }).len()
    }

    #[test]
    fn a_file_says_its_licence_and_what_it_is() {
        let licence = "// SPDX-License-Identifier: Apache-2.0\n";
        assert_eq!(faults("a.rs", &format!("{licence}//! Reads.\n")), 0);
        assert_eq!(faults("a.rs", licence), 1);
        assert_eq!(faults("a.rs", "//! Reads.\n"), 1);
        assert_eq!(faults("a.h", &format!("{licence}#pragma once\n/* Reads. */\n")), 0);
    }
}
