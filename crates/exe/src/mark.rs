// SPDX-License-Identifier: Apache-2.0
//! Marks that compilers and runtimes leave in a program: names of symbols, the compiler's comment, paths in
//! panic messages. A mark is evidence, not proof: any program may contain any text.

use crate::file::ExeError;
use crate::search::Search;
use crate::sections::Sections;

/// What a program's build left in it, Go apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mark {
    /// A GraalVM native image.
    Graal,
    /// The .NET runtime linked in: a single-file or natively compiled program.
    Dotnet,
    /// Node.js linked in: it exports Node-API.
    Node,
    /// Rust code. Stripping hides it when the code cannot panic.
    Rust,
    /// A C or C++ compiler, and nothing above.
    C,
}

/// Sections that only one toolchain writes.
const SECTIONS: [(&[u8], Mark); 2] =
    [(b".svm_heap", Mark::Graal), (b"__managedcode", Mark::Dotnet)];
/// Names that only code of a runtime has, as they stand in a string table: the first that is found counts.
const SYMBOLS: [(&[u8], Mark); 8] = [
    (b"\0graal_", Mark::Graal),
    (b"\0JVM_", Mark::Graal),
    (b"\0DotNetRuntimeInfo\0", Mark::Dotnet),
    (b"\0napi_module_register\0", Mark::Node),
    (b"rust_eh_personality", Mark::Rust),
    (b"rust_panic", Mark::Rust),
    (b"rust_begin_unwind", Mark::Rust),
    (b"__rust_alloc", Mark::Rust),
];
/// What compilers write about themselves. A Rust program has parts that a C compiler made, too.
const COMMENT: [(&[u8], Mark); 3] =
    [(b"rustc version", Mark::Rust), (b"GCC: (", Mark::C), (b"clang version", Mark::C)];
/// Where panics of the standard library say they happened; they survive stripping.
const PANIC_PATHS: [(&[u8], Mark); 3] = [
    (b"/library/std/src/", Mark::Rust),
    (b"/library/core/src/", Mark::Rust),
    (b"/library/alloc/src/", Mark::Rust),
];

/// The strongest mark of a file.
pub(crate) fn find(sections: &Sections, search: &mut Search<'_>) -> Result<Option<Mark>, ExeError> {
    if let Some((_, mark)) = SECTIONS.iter().find(|(name, _)| sections.has(name)) {
        return Ok(Some(*mark));
    }
    // Exported names first: they are few, and they tell the runtime that has others linked in.
    let mut first = |section, words: &[(&[u8], Mark)]| search.first(sections.bytes(section), words);
    for table in [&b".dynstr"[..], b".strtab"] {
        if let Some(mark) = first(table, &SYMBOLS)? {
            return Ok(Some(mark));
        }
    }
    let comment = first(b".comment", &COMMENT)?;
    // Only a stripped program is searched for paths: the symbols of the others have answered already.
    if comment == Some(Mark::Rust) || !sections.bytes(b".strtab").is_empty() {
        return Ok(comment);
    }
    Ok(first(b".rodata", &PANIC_PATHS)?.or(comment))
}
