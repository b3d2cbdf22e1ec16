// SPDX-License-Identifier: Apache-2.0
//! Compiles the kernel programs of all units and generates the Rust types of what they send; and the libraries that are
//! loaded into programs.
//!
//! In: `src/{tracers,runtimes}/*/*.bpf.c`, their `wire.h`, `bpf/`, `src/runtimes/*/agent/agent.c`. Out: `<name>.bpf.o.gz`
//! per program file, one `wire.rs`, and `<name>.so` per agent, in `OUT_DIR`. Knows no unit by name.
#![allow(clippy::disallowed_macros, reason = "cargo reads the standard output of build scripts")]

use std::{
    env,
    error::Error,
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use bindgen::callbacks::{DeriveInfo, ItemInfo, ItemKind, ParseCallbacks};
use flate2::{Compression, write::GzEncoder};

/// The newest clang that is looked for, and the oldest that knows enough of BPF.
const CLANG: std::ops::RangeInclusive<u32> = 14..=30;
/// What the types that cross the boundary can do. `IntoBytes` is refused for a type with hidden padding.
const DERIVES: [&str; 4] =
    ["zerocopy::FromBytes", "zerocopy::IntoBytes", "zerocopy::Immutable", "zerocopy::KnownLayout"];

fn main() -> Result<(), Box<dyn Error>> {
    let root = path("CARGO_MANIFEST_DIR")?;
    let out = path("OUT_DIR")?;
    let include = path("DEP_BPF_INCLUDE")?;
    println!("cargo:rerun-if-changed=build.rs");
    // A new unit changes the list. Watching the folders would compile all C after each edit of Rust.
    println!("cargo:rerun-if-changed=src/tracers/mod.rs");
    println!("cargo:rerun-if-changed=src/runtimes/mod.rs");

    let clang = newest_clang()?;
    let (programs, wires, agents) = units(&[root.join("src/tracers"), root.join("src/runtimes")])?;
    for program in &programs {
        let object = compile(&clang, program, &root, &include, &out)?;
        pack(&clang, &object)?;
    }
    for agent in &agents {
        link(&clang, agent, &root, &out)?;
    }
    bind(&wires, &root, &out)
}

fn path(variable: &str) -> Result<PathBuf, String> {
    env::var_os(variable).map(PathBuf::from).ok_or_else(|| format!("cargo did not set {variable}"))
}

/// All program files, all wire headers and all agents, sorted.
fn units(folders: &[PathBuf]) -> io::Result<(Vec<PathBuf>, Vec<PathBuf>, Vec<PathBuf>)> {
    let mut files = Vec::new();
    for folder in folders {
        gather(folder, &mut files)?;
    }
    // A header that others include comes by its own name first.
    files.sort_by_key(|file| (file.components().count(), file.clone()));
    let ends_with = |end: &str| {
        let named = |file: &&PathBuf| file.to_string_lossy().ends_with(end);
        files.iter().filter(named).cloned().collect()
    };
    Ok((ends_with(".bpf.c"), ends_with("/wire.h"), ends_with("/agent/agent.c")))
}

/// All files below `folder`.
fn gather(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            gather(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn newest_clang() -> Result<String, String> {
    let numbered = CLANG.rev().map(|version| format!("clang-{version}"));
    let runs = |name: &str| {
        let version = Command::new(name).arg("--version").output();
        version.is_ok_and(|output| output.status.success())
    };
    numbered.chain(["clang".into()]).find(|clang| runs(clang) && runs(&strip_of(clang))).ok_or_else(
        || {
            "kernel programs need clang and llvm-strip, 14 or newer: install the packages clang and llvm"
                .to_owned()
        },
    )
}

/// The llvm-strip of the same version.
fn strip_of(clang: &str) -> String {
    clang.replace("clang", "llvm-strip")
}

fn compile(
    clang: &str,
    program: &Path,
    root: &Path,
    include: &Path,
    out: &Path,
) -> Result<PathBuf, Box<dyn Error>> {
    let name = program.file_stem().ok_or("a program file has no name")?; // x.bpf.c: x.bpf
    let object = out.join(name).with_extension("bpf.o");
    let (machine, _) = machine()?;
    let mut command = Command::new(clang);
    command
        .args(["-target", "bpf", "-mcpu=v3", "-g", "-O2", "-std=gnu11"])
        .args(["-Wall", "-Wextra", "-Werror"])
        .arg("-Wno-unused-parameter") // BPF_PROG names all arguments of a hook
        .arg(format!("-D__TARGET_ARCH_{machine}"))
        .arg("-I")
        .arg(root.join("bpf"))
        .arg("-isystem")
        .arg(include)
        .arg("-c");
    translate(command, program, &object, root)?;
    Ok(object)
}

/// Runs clang on `source`, which is looked at again when it or what it includes has changed.
fn translate(
    mut clang: Command,
    source: &Path,
    to: &Path,
    root: &Path,
) -> Result<(), Box<dyn Error>> {
    let depfile = to.with_extension("d");
    clang.args(["-MD", "-MF"]).arg(&depfile);
    if !clang.arg(source).arg("-o").arg(to).status()?.success() {
        let clang = clang.get_program().display();
        return Err(format!("{clang} refuses {}", source.display()).into());
    }
    watch(&fs::read_to_string(depfile)?, root);
    Ok(())
}

/// What the machine that vor is built for is called by headers of libbpf, and by clang.
fn machine() -> Result<(&'static str, &'static str), String> {
    match env::var_os("CARGO_CFG_TARGET_ARCH").unwrap_or_default().to_str() {
        Some("x86_64") => Ok(("x86", "x86_64-linux-gnu")),
        Some("aarch64") => Ok(("arm64", "aarch64-linux-gnu")),
        other => Err(format!("kernel programs know x86_64 and aarch64, not {other:?}")),
    }
}

/// Makes a library of an agent that needs no other, whichever libc the program has.
fn link(clang: &str, agent: &Path, root: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    let unit = agent.ancestors().nth(2).and_then(Path::file_name).ok_or("an agent has no unit")?;
    let library = out.join(unit).with_extension("so");
    let (_, target) = machine()?;
    let mut command = Command::new(clang);
    command
        .args(["-target", target, "-shared", "-fPIC", "-Oz", "-std=gnu11"])
        .args(["-ffreestanding", "-fno-builtin", "-nostdlib", "-fvisibility=hidden"])
        .args(["-fno-stack-protector", "-fno-asynchronous-unwind-tables"])
        .args(["-Wall", "-Wextra", "-Werror"])
        .args(["-fuse-ld=lld", "-Wl,-z,defs", "-Wl,-z,noexecstack", "-Wl,--strip-all"])
        .args(["-Wl,--build-id=none", "-Wl,--hash-style=both"]);
    translate(command, agent, &library, root)
}

/// Takes what only debuggers read from the object, and compresses it. What the loader reads of types, BTF, stays.
fn pack(clang: &str, object: &Path) -> Result<(), Box<dyn Error>> {
    let strip = strip_of(clang);
    if !Command::new(&strip).arg("--strip-debug").arg(object).status()?.success() {
        return Err(format!("{strip} refuses {}", object.display()).into());
    }
    let packed = fs::File::create(object.with_extension("o.gz"))?;
    let mut packed = GzEncoder::new(packed, Compression::best());
    packed.write_all(&fs::read(object)?)?;
    packed.finish()?;
    Ok(())
}

/// Names our own files among those of a dependency file. The others are unpacked anew for each build of
/// libbpf, so that to watch them would make every build dirty.
fn watch(dependencies: &str, root: &Path) {
    let files = dependencies.split([' ', '\n']).map(Path::new);
    for file in files.filter(|file| file.starts_with(root)) {
        println!("cargo:rerun-if-changed={}", file.display());
    }
}

/// Generates `wire.rs`: all headers at once, so that a struct has one type however many include it.
fn bind(wires: &[PathBuf], root: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    let shared = ["bpf/lib/wire.h", "bpf/lib/trace.h", "bpf/lib/lost.h", "bpf/maps/admit.h"]
        .map(|file| root.join(file));
    let mut all = String::new();
    let mut builder = bindgen::builder();
    for header in shared.iter().chain(wires) {
        writeln!(all, "#include \"{}\"", header.display())?;
        builder = builder.allowlist_file(header.display().to_string());
        println!("cargo:rerun-if-changed={}", header.display());
    }
    builder
        .header_contents("all.h", &all)
        .clang_arg(format!("-I{}", root.join("bpf").display()))
        .parse_callbacks(Box::new(Names))
        .default_macro_constant_type(bindgen::MacroTypeVariation::Unsigned)
        .layout_tests(false)
        .generate()?
        .write_to_file(out.join("wire.rs"))?;
    Ok(())
}

/// Rust's names, and what the types can do.
#[derive(Debug)]
struct Names;

impl ParseCallbacks for Names {
    fn item_name(&self, item: ItemInfo<'_>) -> Option<String> {
        if !matches!(item.kind, ItemKind::Type) || item.name.starts_with("__") {
            return None;
        }
        let word = |word: &str| {
            let mut letters = word.chars();
            letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str())
        };
        Some(item.name.split('_').filter_map(word).collect())
    }

    fn add_derives(&self, _: &DeriveInfo<'_>) -> Vec<String> {
        DERIVES.map(str::to_owned).to_vec()
    }
}
