// SPDX-License-Identifier: Apache-2.0
//! Waiting for something that happens by itself.

use std::fmt::Display;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const STEP: Duration = Duration::from_millis(5);

/// Asks `done` again and again until it says yes, but no longer than `limit`. The error says what was awaited.
pub fn until(
    what: impl Display,
    limit: Duration,
    mut done: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let start = Instant::now();
    while !done()? {
        if start.elapsed() > limit {
            bail!("{what}: not within {limit:?}");
        }
        sleep(STEP);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_asks_until_the_answer_is_yes_and_says_what_never_came() {
        let mut asked = 0;
        until("third time", Duration::from_secs(5), || {
            asked += 1;
            Ok(asked == 3)
        })
        .unwrap();
        let never = until("rain", Duration::from_millis(10), || Ok(false)).unwrap_err();
        assert_eq!(never.to_string(), "rain: not within 10ms");
    }
}
