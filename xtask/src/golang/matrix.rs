// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask go-matrix`: real Go programs, built by toolchains of many versions, with debug information and
//! stripped, observed by vor. `vor-e2e run --go-programs` has the cases.

use std::{collections::BTreeMap, ffi::OsString, fs, path::PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::{RELEASES, Toolchain, folder};
use crate::{
    e2e,
    exec::{self, say},
    repo::Repo,
    tally::{Skips, Tally},
};

const SOURCES: &str = "e2e/apps/go/matrix";
/// Programs that talk to Kafka.
const BROKER: [&str; 3] = ["kafka", "sarama", "shopify"];
/// A program, and for the oldest minor version of Go from which it holds the modules that it is built with.
struct Source {
    name: &'static str,
    /// The program whose source it shares, and a module's path there and here.
    twin: Option<(&'static str, [&'static str; 2])>,
    pins: &'static [(&'static str, &'static [&'static str])],
}

const PROGRAMS: &[Source] = &[
    Source { name: "web", twin: None, pins: &[("1.21", &[])] },
    Source {
        name: "xnet",
        twin: None,
        pins: &[
            ("1.21", &["golang.org/x/net@v0.25.0"]),
            ("1.22", &["golang.org/x/net@v0.35.0"]),
            ("1.23", &["golang.org/x/net@v0.40.0"]),
            ("1.24", &["golang.org/x/net@v0.47.0"]),
            ("1.25", &["golang.org/x/net@v0.53.0"]),
            ("1.26", &["golang.org/x/net@v0.62.0"]),
        ],
    },
    Source {
        name: "grpc",
        twin: None,
        pins: &[
            ("1.21", &["google.golang.org/grpc@v1.64.1"]),
            ("1.22", &["google.golang.org/grpc@v1.70.0"]),
            ("1.23", &["google.golang.org/grpc@v1.72.3"]),
            ("1.24", &["google.golang.org/grpc@v1.76.0"]),
            ("1.25", &["google.golang.org/grpc@v1.80.0"]),
            ("1.26", &["google.golang.org/grpc@v1.85.0"]),
        ],
    },
    Source {
        name: "tls",
        twin: None,
        pins: &[
            ("1.21", &["github.com/valyala/fasthttp@v1.58.0"]),
            ("1.24", &["github.com/valyala/fasthttp@v1.68.0"]),
        ],
    },
    Source { name: "sql", twin: None, pins: &[("1.21", &["github.com/lib/pq@v1.10.9"])] },
    Source {
        name: "redis",
        twin: None,
        pins: &[
            ("1.21", &["github.com/redis/go-redis/v9@v9.7.3"]),
            ("1.23", &["github.com/redis/go-redis/v9@v9.14.1"]),
            ("1.25", &["github.com/redis/go-redis/v9@v9.17.3"]),
            ("1.26", &["github.com/redis/go-redis/v9@v9.23.0"]),
        ],
    },
    Source {
        name: "kafka",
        twin: None,
        pins: &[
            ("1.21", &["github.com/segmentio/kafka-go@v0.4.47"]),
            ("1.23", &["github.com/segmentio/kafka-go@v0.4.51"]),
        ],
    },
    Source {
        name: "sarama",
        twin: None,
        pins: &[
            ("1.21", &["github.com/IBM/sarama@v1.43.3"]),
            ("1.23", &["github.com/IBM/sarama@v1.45.2"]),
            ("1.24", &["github.com/IBM/sarama@v1.46.3"]),
            ("1.25", &["github.com/IBM/sarama@v1.50.0"]),
            ("1.26", &["github.com/IBM/sarama@v1.61.1"]),
        ],
    },
    // What IBM's was called before.
    Source {
        name: "shopify",
        twin: Some(("sarama", ["github.com/IBM/sarama", "github.com/Shopify/sarama"])),
        pins: &[
            ("1.21", &["github.com/Shopify/sarama@v1.33.0"]),
            ("1.24", &["github.com/Shopify/sarama@v1.37.2"]),
            ("1.26", &["github.com/Shopify/sarama@v1.38.1"]),
        ],
    },
];

/// The versions of Go that `make test` tries: the oldest that is supported, one from the middle, the newest.
const TRIED: [&str; 3] = ["1.21", "1.24", "1.27"];
/// The cells that virtual machines run, by the beginnings of their names, and the programs that they need.
pub(crate) const ABROAD: [&str; 4] = [
    "go/1.24/dwarf/https",
    "go/1.24/stripped/http2",
    "go/1.24/stripped/grpc",
    "go/1.24/stripped/tls-fasthttp",
];
const ABROAD_PROGRAMS: [&str; 4] = ["web", "web-stripped", "grpc-stripped", "tls-stripped"];
const ABROAD_GO: &str = "1.24";

#[derive(Args)]
pub(crate) struct MatrixArgs {
    /// Only these minor versions of Go, such as 1.24; may be given several times
    #[arg(long)]
    go: Vec<String>,
    /// Only cases whose name begins with this, such as grpc-unary
    #[arg(long)]
    case: Option<String>,
    /// Only programs without symbols and debug information
    #[arg(long, conflicts_with = "dwarf")]
    stripped: bool,
    /// Only programs with debug information
    #[arg(long)]
    dwarf: bool,
    /// Builds the programs and runs nothing
    #[arg(long)]
    build: bool,
}

pub(crate) fn run(repo: &Repo, args: &MatrixArgs) -> Result<bool> {
    let all: Vec<&str> = RELEASES.iter().copied().map(minor).collect();
    for asked in &args.go {
        if !all.contains(&asked.as_str()) {
            bail!("no Go {asked}; there are: {}", all.join(" "));
        }
    }
    let wanted = |go: &&str| args.go.is_empty() || args.go.iter().any(|asked| asked == go);
    let chosen: Vec<&str> = all.into_iter().filter(wanted).collect();
    programs(repo, &chosen, args.case.as_deref())?;
    if BROKER.iter().any(|case| args.case.as_deref().is_none_or(|asked| needs(case, asked))) {
        broker(repo)?;
    }
    if args.build {
        return Ok(true);
    }
    e2e::build(repo)?;
    let form = [(args.stripped, "stripped"), (args.dwarf, "dwarf")];
    let form = form.into_iter().find(|(asked, _)| *asked).map(|(_, form)| form);
    let mut tally = Tally::default();
    e2e::go(repo, &names(&chosen, args.case.as_deref(), form), &mut tally)?;
    Ok(tally.close(Skips::Count))
}

/// All cells of the versions that `make test` tries; needs what `e2e::build` made.
pub(crate) fn some(repo: &Repo, tally: &mut Tally) -> Result<()> {
    let mut built = Vec::new();
    for go in TRIED {
        match toolchain(repo, go) {
            Ok(toolchain) => {
                sources(repo, &toolchain, go, None)?;
                built.push(go);
            }
            // They come from PyPI, which not every machine reaches.
            Err(why) => tally.skip(format!("Go {go}"), format!("{why:#}")),
        }
    }
    if built.is_empty() { Ok(()) } else { e2e::go(repo, &names(&built, None, None), tally) }
}

/// A folder with the programs of [`ABROAD`], to be copied into a virtual machine.
pub(crate) fn abroad(repo: &Repo) -> Result<PathBuf> {
    let toolchain = toolchain(repo, ABROAD_GO)?;
    ["http", "grpc", "tls"]
        .iter()
        .try_for_each(|case| sources(repo, &toolchain, ABROAD_GO, Some(case)))?;
    let (from, all) = (place(repo).join(ABROAD_GO), folder(repo).join("abroad"));
    let into = all.join(ABROAD_GO);
    fs::create_dir_all(&into)?;
    for program in ABROAD_PROGRAMS {
        fs::copy(from.join(program), into.join(program))
            .with_context(|| format!("copying {program}"))?;
    }
    Ok(all)
}

/// Kafka's broker, as Maven has it.
const KAFKA: &str = "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\
    <modelVersion>4.0.0</modelVersion><groupId>org.example</groupId>\
    <artifactId>broker</artifactId><version>1</version><dependencies><dependency>\
    <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>4.2.2</version>\
    </dependency></dependencies></project>\n";

/// Fetches the Java archives of Kafka's broker, unless they are there.
fn broker(repo: &Repo) -> Result<()> {
    let into = folder(repo).join("kafka");
    if into.is_dir() {
        return Ok(());
    }
    say("fetching Kafka");
    // Moved into place when complete, so that an interrupted run is repeated.
    let (dir, part) = (tempfile::tempdir()?, into.with_extension("part"));
    fs::write(dir.path().join("pom.xml"), KAFKA)?;
    let mut maven = repo.program("mvn");
    maven.current_dir(dir.path()).args(["-q", "-B", "dependency:copy-dependencies"]);
    exec::run(maven.arg(format!("-DoutputDirectory={}", part.display())))?;
    fs::rename(&part, &into).with_context(|| format!("moving into {}", into.display()))
}

/// Beginnings of names of the cells that are asked for.
fn names(versions: &[&str], case: Option<&str>, form: Option<&str>) -> Vec<String> {
    let forms = form.map_or(vec!["dwarf", "stripped"], |form| vec![form]);
    let case = case.unwrap_or_default();
    let name = |go: &&str, form: &str| format!("go/{go}/{form}/{case}");
    versions.iter().flat_map(|go| forms.iter().map(move |form| name(go, form))).collect()
}

/// Where the programs are.
pub(crate) fn place(repo: &Repo) -> PathBuf {
    folder(repo).join("matrix")
}

/// Programs with debug information that were built before, but those of the newest toolchain: with it, some versions
/// of modules have other structs.
pub(super) fn unstripped(repo: &Repo) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let [releases @ .., _] = RELEASES else { return found };
    for minor in releases.iter().copied().map(minor) {
        let programs = PROGRAMS.iter().map(|source| place(repo).join(minor).join(source.name));
        found.extend(programs.filter(|program| program.is_file()));
    }
    found
}

/// Builds the programs of these versions of Go, those that a case needs.
fn programs(repo: &Repo, versions: &[&str], case: Option<&str>) -> Result<()> {
    for go in versions {
        sources(repo, &toolchain(repo, go)?, go, case)?;
    }
    Ok(())
}

fn toolchain(repo: &Repo, go: &str) -> Result<Toolchain> {
    let release = RELEASES.iter().find(|release| minor(release) == go);
    Toolchain::release(repo, release.context("no such release")?)
}

fn sources(repo: &Repo, toolchain: &Toolchain, go: &str, case: Option<&str>) -> Result<()> {
    for source in PROGRAMS {
        if case.is_none_or(|case| needs(source.name, case)) {
            build(repo, toolchain, go, source)?;
        }
    }
    Ok(())
}

/// Whether a case is about this program. Cases of `web` are named by what they speak.
fn needs(program: &str, case: &str) -> bool {
    match program {
        "web" => case.starts_with("http"),
        other => case.starts_with(other),
    }
}

fn build(repo: &Repo, go: &Toolchain, minor: &str, source: &Source) -> Result<()> {
    let into = place(repo).join(minor);
    let (files, modules) = (files(repo, source)?, pins(source, minor));
    let texts = files.values().map(String::as_str);
    let stamp = format!("{}\n{}\n{}", go.version, modules.join("\n"), texts.collect::<String>());
    let (program, stamped) = (into.join(source.name), into.join(format!("{}.stamp", source.name)));
    if fs::read_to_string(&stamped).is_ok_and(|known| known == stamp) {
        return Ok(());
    }
    say(format!("building {} with Go {minor}", source.name));
    fs::create_dir_all(&into)?;
    let dir = tempfile::tempdir()?;
    for (name, text) in files {
        fs::write(dir.path().join(name), text)?;
    }
    let module = format!("module example.org/{}\n\ngo {minor}\n", source.name);
    fs::write(dir.path().join("go.mod"), module)?;
    if !modules.is_empty() {
        exec::run(go.command(dir.path()).arg("get").args(modules))?;
        exec::run(go.command(dir.path()).args(["mod", "tidy"]))?;
    }
    for (suffix, flags) in [("", ""), ("-stripped", "-s -w")] {
        let into = format!("{}{suffix}", program.display());
        exec::run(go.command(dir.path()).args(["build", "-ldflags", flags, "-o", &into, "."]))?;
    }
    fs::write(&stamped, stamp)?;
    Ok(())
}

/// The pins of the newest version that is no newer than `minor`.
fn pins(source: &Source, minor: &str) -> &'static [&'static str] {
    let number = |go: &str| go.parse::<vor_exe::go::Version>().unwrap_or_default();
    let holds = source.pins.iter().rev().find(|(from, _)| number(from) <= number(minor));
    holds.map_or(&[], |(_, modules)| modules)
}

/// What a program is made of, by the names of files.
fn files(repo: &Repo, source: &Source) -> Result<BTreeMap<OsString, String>> {
    let (folder, [there, here]) = source.twin.unwrap_or((source.name, ["", ""]));
    let folder = repo.root.join(SOURCES).join(folder);
    let read = fs::read_dir(&folder).with_context(|| format!("opening {}", folder.display()))?;
    let mut files = BTreeMap::new();
    for entry in read {
        let entry = entry?;
        let text = fs::read_to_string(entry.path())?;
        let text = if there.is_empty() { text } else { text.replace(there, here) };
        files.insert(entry.file_name(), text);
    }
    Ok(files)
}

/// `1.24` of `1.24.11`.
fn minor(release: &str) -> &str {
    release.rsplit_once('.').map_or(release, |(minor, _)| minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_has_pins_for_every_program() {
        for release in RELEASES {
            for source in PROGRAMS.iter().filter(|source| source.name != "web") {
                assert_eq!(pins(source, minor(release)).len(), 1, "{release} {}", source.name);
            }
        }
    }

    #[test]
    fn the_versions_that_are_always_tried_include_the_oldest_and_the_newest() {
        let all: Vec<_> = RELEASES.iter().copied().map(minor).collect();
        let [first, .., last] = all.as_slice() else { panic!("no releases") };
        assert_eq!([TRIED[0], TRIED[2]], [*first, *last]);
        assert!(all.contains(&TRIED[1]) && all.contains(&ABROAD_GO));
    }

    #[test]
    fn a_cell_is_named_by_version_form_and_case() {
        let named = names(&["1.24"], Some("grpc-unary"), Some("stripped"));
        assert_eq!(named, ["go/1.24/stripped/grpc-unary"]);
        assert_eq!(names(&["1.24"], None, None), ["go/1.24/dwarf/", "go/1.24/stripped/"]);
    }
}
