// SPDX-License-Identifier: Apache-2.0
//! What a program is written in: from its file, its name, the libraries it has loaded and its environment,
//! in the order of how far each can be trusted.

use std::path::{Path, PathBuf};

use vor_exe::{Facts, Mark};
use vor_model::Language;

use crate::proc::Environment;

/// Interpreters of languages that have no name of their own here. They are C programs, what they run is not.
const OTHERS: [&str; 8] = ["perl", "lua", "luajit", "beam.smp", "tclsh", "guile", "R", "octave"];

/// Libraries that hold a runtime, by the beginning of their files' names.
const LIBRARIES: [(&str, Language); 7] = [
    ("libcoreclr.so", Language::Dotnet),
    ("libjvm.so", Language::Java),
    ("libnode.so", Language::Nodejs),
    ("libpython", Language::Python),
    ("libruby", Language::Ruby),
    ("libphp", Language::Php),
    ("libhostfxr.so", Language::Dotnet),
];

/// What is known of a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Evidence<'a> {
    pub(crate) exe: &'a Path,
    /// None when the program's file could not be read.
    pub(crate) facts: Option<&'a Facts>,
    pub(crate) mapped: &'a [PathBuf],
    pub(crate) env: &'a Environment,
}

impl Evidence<'_> {
    /// The language that the evidence speaks for.
    pub(crate) fn language(self) -> Language {
        // The Go linker's block is certain: a Go program may be called anything, "node" for example.
        if self.facts.is_some_and(|facts| facts.go.is_some()) {
            return Language::Go;
        }
        let name = self.exe.file_name().unwrap_or_default().to_string_lossy();
        if let Some(language) = by_name(&name).or_else(|| self.by_library()) {
            return language;
        }
        match self.facts.and_then(|facts| facts.mark) {
            Some(Mark::Graal) => Language::GraalNative,
            Some(Mark::Dotnet) => Language::Dotnet,
            Some(Mark::Node) => Language::Nodejs,
            Some(Mark::Rust) => Language::Rust,
            Some(Mark::C) | None => self.by_environment(&name),
        }
    }

    fn by_library(self) -> Option<Language> {
        LIBRARIES.iter().find_map(|(library, language)| {
            let mut names = self.mapped.iter().filter_map(|path| path.file_name()?.to_str());
            names.any(|name| name.starts_with(library)).then_some(*language)
        })
    }

    fn by_environment(self, name: &str) -> Language {
        // Where the SDK is installed says nothing of the program at hand.
        let mut names = self.env.names();
        if names
            .any(|name| name.starts_with("ASPNETCORE_") || name == "DOTNET_RUNNING_IN_CONTAINER")
        {
            return Language::Dotnet;
        }
        let native = self.facts.is_some_and(|facts| facts.mark == Some(Mark::C) || facts.libc());
        if native && !OTHERS.contains(&unversioned(name)) {
            return Language::Cpp;
        }
        Language::Generic
    }
}

/// Whether a process that has just started may still turn out to be something else, because runtimes are
/// loaded as libraries.
pub(crate) const fn is_settled(language: Language) -> bool {
    match language {
        Language::Cpp | Language::Generic => false,
        Language::Go
        | Language::Rust
        | Language::Python
        | Language::Ruby
        | Language::Java
        | Language::GraalNative
        | Language::Nodejs
        | Language::Dotnet
        | Language::Php => true,
    }
}

/// The program's name without the version behind it: `python3.11` is `python`.
fn unversioned(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-')
}

fn by_name(name: &str) -> Option<Language> {
    match unversioned(name) {
        "java" => Some(Language::Java),
        "node" | "nodejs" => Some(Language::Nodejs),
        "python" | "pypy" => Some(Language::Python),
        "ruby" => Some(Language::Ruby),
        "dotnet" => Some(Language::Dotnet),
        name if name.contains("php") => Some(Language::Php),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(exe: &str, facts: Option<&Facts>, mapped: &[&str], env: &Environment) -> Language {
        let mapped: Vec<_> = mapped.iter().map(PathBuf::from).collect();
        Evidence { exe: Path::new(exe), facts, mapped: &mapped, env }.language()
    }

    #[test]
    fn runtimes_are_known_by_the_name_of_the_program() {
        for (exe, language) in [
            ("/usr/bin/python3.11", Language::Python),
            ("/opt/pypy/bin/pypy3", Language::Python),
            ("/usr/bin/ruby3.1", Language::Ruby),
            ("/usr/lib/jvm/17/bin/java", Language::Java),
            ("/usr/bin/node", Language::Nodejs),
            ("/usr/sbin/php-fpm8.2", Language::Php),
            ("/usr/bin/php8.2", Language::Php),
            ("/usr/share/dotnet/dotnet", Language::Dotnet),
            ("/usr/bin/nodes", Language::Generic),
            ("/usr/bin/javac-server", Language::Generic),
        ] {
            assert_eq!(judged(exe, None, &[], &Environment::default()), language, "{exe}");
        }
    }

    #[test]
    fn runtimes_are_known_by_the_libraries_they_are() {
        for (library, language) in [
            ("/usr/share/dotnet/shared/8.0/libcoreclr.so", Language::Dotnet),
            ("/usr/lib/jvm/17/lib/server/libjvm.so", Language::Java),
            ("/usr/lib/libpython3.11.so.1.0", Language::Python),
            ("/usr/lib/libruby-3.1.so.3.1", Language::Ruby),
            ("/usr/lib/apache2/modules/libphp8.2.so", Language::Php),
        ] {
            let mapped = ["/usr/lib/libc.so.6", library];
            assert_eq!(
                judged("/app", None, &mapped, &Environment::default()),
                language,
                "{library}"
            );
        }
    }

    #[test]
    fn certain_facts_come_before_names_and_names_before_the_environment() {
        let env = Environment::from([("ASPNETCORE_HTTP_PORTS", "80"), ("DOTNET_ROOT", "/x")]);
        let go = Facts { go: Some(vor_exe::GoBuild::default()), ..Facts::default() };
        let mark = |mark| Facts { mark: Some(mark), ..Facts::default() };
        assert_eq!(judged("/node", Some(&go), &[], &env), Language::Go);
        assert_eq!(judged("/node", Some(&mark(Mark::Rust)), &[], &env), Language::Nodejs);
        assert_eq!(judged("/app", Some(&mark(Mark::Rust)), &[], &env), Language::Rust);
        assert_eq!(judged("/app", Some(&mark(Mark::Graal)), &[], &env), Language::GraalNative);
        assert_eq!(judged("/app", Some(&mark(Mark::C)), &[], &env), Language::Dotnet);
        let sdk = Environment::from([("DOTNET_ROOT", "/x")]);
        assert_eq!(judged("/app", Some(&mark(Mark::C)), &[], &sdk), Language::Cpp);
        assert_eq!(judged("/usr/bin/perl", Some(&mark(Mark::C)), &[], &sdk), Language::Generic);
        assert_eq!(judged("/app", Some(&Facts::default()), &[], &sdk), Language::Generic);
    }
}
