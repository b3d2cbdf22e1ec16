// SPDX-License-Identifier: Apache-2.0
//! What a compiler does not check. Each check is a function from the tree to sentences about what is wrong.

use std::path::PathBuf;

use anyhow::Result;

use crate::{exec::say, repo::Repo};

mod bpf;
mod budget;
mod headers;
mod layers;
mod names;

/// A file of the project and its text.
pub(crate) struct Source {
    /// From the root of the project.
    pub path: PathBuf,
    pub text: String,
}

impl Source {
    /// The path as text, for messages and for tests by its end.
    pub(crate) fn name(&self) -> std::borrow::Cow<'_, str> {
        self.path.to_string_lossy()
    }

    fn is(&self, suffix: &str) -> bool {
        self.name().ends_with(suffix)
    }
}

pub(crate) fn run(repo: &Repo) -> Result<bool> {
    let faults = faults(repo)?;
    for fault in &faults {
        say(fault);
    }
    say(format_args!("tidy: {} faults", faults.len()));
    Ok(faults.is_empty())
}

/// Everything that is not tidy, a sentence each.
pub(crate) fn faults(repo: &Repo) -> Result<Vec<String>> {
    let paths = repo.files()?;
    let mut faults = layers::check(&repo.packages);
    faults.extend(names::check(&paths));
    for path in paths {
        let is_code = path.extension().is_some_and(|e| e == "rs" || e == "c" || e == "h");
        if !is_code {
            continue;
        }
        let source = Source { text: repo.read(&path)?, path };
        faults.extend(headers::check(&source));
        faults.extend(budget::check(&source));
        faults.extend(bpf::check(&source));
        faults.extend(names::above_protocol(&source));
    }
    Ok(faults)
}
