// SPDX-License-Identifier: Apache-2.0
//! Versions of toolchains and modules, in their order.

use std::fmt;
use std::str::FromStr;

/// A version: `1.26.8` of a toolchain, `v1.60.0` or `v0.0.0-20240102030405-0123456789ab` of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version {
    /// Major, minor and patch number.
    pub numbers: [u32; 3],
    /// The time of the commit, of a version that names one.
    pub stamp: u64,
    /// Whether it is a release, with nothing behind the numbers but perhaps a time.
    pub release: bool,
}

/// Why a text is no version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a version")]
pub struct NotAVersion;

impl Version {
    /// The version of the Go distribution that a toolchain calls itself (`go1.27.3`, `go1.27rc1`).
    #[must_use]
    pub fn of_toolchain(name: &str) -> Option<Self> {
        let (number, more) = match name.split_once(' ') {
            Some((number, _)) => (number, true),
            None => (name, false),
        };
        let version: Self = number.strip_prefix("go")?.parse().ok()?;
        Some(Self { release: version.release && !more, ..version })
    }

    /// Whether both are patches of the same minor version.
    #[must_use]
    pub fn same_minor(self, other: Self) -> bool {
        self.numbers.first_chunk::<2>() == other.numbers.first_chunk::<2>()
            && self.stamp == other.stamp
    }
}

impl FromStr for Version {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let text = text.strip_suffix("+incompatible").unwrap_or(text);
        let (plain, behind) = match text.split_once('-') {
            Some((plain, behind)) => (plain, Some(behind)),
            None => (text, None),
        };
        let mut version = Self { release: true, ..Self::default() };
        let mut parts = plain.split('.');
        for number in &mut version.numbers {
            let Some(part) = parts.next() else { break };
            let digits = part.bytes().take_while(u8::is_ascii_digit).count();
            let (digits, rest) = part.split_at_checked(digits).unwrap_or((part, ""));
            *number = digits.parse().map_err(|_| NotAVersion)?;
            // `27rc1`, `8-custom`: numbers that are not the whole truth.
            version.release &= rest.is_empty();
        }
        if let Some(behind) = behind {
            // `20240102030405-0123456789ab`, `0.20240102030405-…`, `pre.0.20240102030405-…`
            let stamp = behind
                .split(['-', '.'])
                .find(|word| word.len() == 14 && word.bytes().all(|byte| byte.is_ascii_digit()));
            version.stamp = stamp.and_then(|stamp| stamp.parse().ok()).unwrap_or(0);
            // A commit is as exact as a release only where there are no releases at all.
            version.release = version.stamp != 0 && version.numbers == [0; 3];
        }
        Ok(version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(f, "{major}.{minor}.{patch}")?;
        if self.stamp != 0 {
            write!(f, "-{}", self.stamp)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_go_and_its_modules_write_them() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        assert_eq!(version("v1.60.0").to_string(), "1.60.0");
        assert!(version("v1.60.0").release && version("v2.0.0+incompatible").release);
        let commit = version("v0.0.0-20240102030405-0123456789ab");
        assert_eq!((commit.stamp, commit.release), (20_240_102_030_405, true));
        assert_eq!(commit, version(&commit.to_string()));
        assert!(!version("v1.60.1-0.20240102030405-0123456789ab").release);
        assert!(!version("v1.60.0-dev").release);
        assert!(version("v1.9.3") < version("v1.10.0"));
        assert_eq!("(devel)".parse::<Version>(), Err(NotAVersion));
    }

    #[test]
    fn a_toolchain_that_was_changed_or_is_no_release_is_not_exact() {
        let release = |name: &str| Version::of_toolchain(name).map(|version| version.release);
        assert_eq!(release("go1.26.8"), Some(true));
        assert_eq!(release("go1.20"), Some(true));
        assert_eq!(release("go1.27rc1"), Some(false));
        assert_eq!(release("go1.26.8 X:nodwarf5"), Some(false));
        assert_eq!(release("go1.22.3-custom"), Some(false));
        assert_eq!(release("devel go1.28-0123456789"), None);
    }
}
