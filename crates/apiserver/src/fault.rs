// SPDX-License-Identifier: Apache-2.0
//! What goes wrong, when a test wants it to.

use serde::Deserialize;

use crate::ask::Ask;

/// Something that goes wrong with requests that match, so many times.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Only requests of this verb.
    #[serde(default)]
    pub verb: Option<String>,
    /// Only requests for this resource (`pods`).
    #[serde(default)]
    pub resource: Option<String>,
    /// How often; without it, until faults are cleared.
    #[serde(default)]
    pub times: Option<u32>,
    /// What happens.
    pub what: Wrong,
}

/// A way to go wrong.
#[derive(Debug, Clone, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Wrong {
    /// Refused with this code; 429 says after how many seconds to come again.
    Refuse {
        /// The HTTP code.
        code: u16,
        /// Seconds, in the header `Retry-After`.
        #[serde(default)]
        retry_after: Option<u32>,
    },
    /// Every version is too old: 410 for a list, an event ERROR for a watch.
    Gone,
    /// The connection is cut after so many bytes of the answer, its head included.
    Cut {
        /// How many.
        after: u64,
    },
    /// The connection stays, and nothing more is said after so many bytes.
    Stall {
        /// How many.
        after: u64,
    },
    /// The answer comes slowly.
    Slow {
        /// How slowly.
        bytes_per_second: u32,
    },
    /// The answer is this text, with code 200 and as JSON.
    Garbage {
        /// What is said instead.
        text: String,
    },
    /// The answer never ends and has no line break: so many bytes of a string.
    Endless {
        /// After how many it ends after all.
        bytes: u64,
    },
}

/// The faults that are still to come.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// What goes wrong with this request; the oldest fault that matches is used up first.
    pub(crate) fn take(&mut self, ask: &Ask) -> Option<Wrong> {
        let matches = |fault: &Fault| {
            fault.verb.as_deref().is_none_or(|verb| verb == ask.verb.as_str())
                && fault.resource.as_deref().is_none_or(|resource| resource == ask.kind.plural)
        };
        let at = self.0.iter().position(matches)?;
        let fault = self.0.get_mut(at)?;
        let wrong = fault.what.clone();
        if let Some(times) = &mut fault.times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                self.0.remove(at);
            }
        }
        Some(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Method;

    #[test]
    fn a_fault_hits_what_it_names_as_often_as_it_says() {
        let mut faults = Faults::default();
        let text =
            r#"{"verb": "watch", "resource": "pods", "times": 2, "what": {"cut": {"after": 9}}}"#;
        faults.add(serde_json::from_str(text).unwrap());
        let ask = |path, query| Ask::parse(&Method::GET, path, query).unwrap();
        assert_eq!(faults.take(&ask("/api/v1/pods", "")), None);
        assert_eq!(faults.take(&ask("/api/v1/nodes", "watch=1")), None);
        let cut = Some(Wrong::Cut { after: 9 });
        assert_eq!(faults.take(&ask("/api/v1/pods", "watch=1")), cut);
        assert_eq!(faults.take(&ask("/api/v1/pods", "watch=1")), cut);
        assert_eq!(faults.take(&ask("/api/v1/pods", "watch=1")), None);
    }
}
