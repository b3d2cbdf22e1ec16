// SPDX-License-Identifier: Apache-2.0
//! What a library wants of a Go program, and the plan that follows from what the program has.

use std::path::Path;

use vor_exe::go::{Function, GoError, Program, Wanted};

use super::LIBRARIES;
use crate::code::{Binary, Part, Place, Plan, PlanError};
use crate::tracers::wire::GO_NOWHERE;

/// A library that units know.
#[derive(Debug)]
pub struct Library {
    /// Whether its programs follow connections: then all need what [`CONNECTION`] lists, and their facts begin
    /// with `struct go_net_facts`.
    pub connects: bool,
    /// Fields whose offsets the programs need, in the order of the unit's struct of facts.
    pub fields: &'static [Field],
    /// Functions that are watched together, or not at all.
    pub features: &'static [Feature],
}

/// Functions that are watched together.
#[derive(Debug)]
pub struct Feature {
    /// For people.
    pub name: &'static str,
    /// The functions. Without the first of them in a program, there is nothing to watch.
    pub spots: &'static [Spot],
    /// Structs whose fields must all be known.
    pub needs: &'static [&'static str],
}

/// A field of a struct.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// The struct with its package, such as `net/http.Request`. Some have had several names.
    pub of: &'static [&'static str],
    /// The field. Some have had several names.
    pub name: &'static [&'static str],
    /// Whether there is something to see without it.
    pub optional: bool,
}

/// A program in a function.
#[derive(Debug)]
pub struct Spot {
    /// Names of the function; the first that a program has counts.
    pub functions: &'static [&'static str],
    /// The program.
    pub program: &'static str,
    /// When it runs.
    pub when: When,
    /// What it is told of the place.
    pub tag: u32,
}

/// When a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The function is called.
    Called,
    /// It returns.
    Returns,
    /// It copies a value of a channel into the channel's buffer.
    CopiesIn,
    /// It copies a value of a channel from there.
    CopiesOut,
    /// It calls this function, which it does in one place.
    Calls(&'static str),
}

impl When {
    /// The function that it is about, beside the one that it is in.
    fn called(self) -> Option<&'static str> {
        match self {
            Self::Calls(called) => Some(called),
            _ => None,
        }
    }
}

/// How values of channels are copied: what is called has the type, the target and the source.
const COPY: &str = "runtime.typedmemmove";
/// What is called next when the value was copied from a slot, which is empty then.
const CLEAR: &str = "runtime.typedmemclr";

/// How to get from a `net.Conn` to its descriptor.
const CONNECTION: [Field; 3] = [
    Field::new(&["internal/poll.FD"], &["Sysfd"]),
    Field::new(&["net.netFD"], &["family"]),
    Field::new(&["net.netFD"], &["sotype"]),
];

impl Library {
    /// All fields that are wanted, in the order of the unit's struct of facts.
    pub(super) fn facts(&self) -> impl Iterator<Item = &'static Field> {
        let connection: &'static [Field] = if self.connects { &CONNECTION } else { &[] };
        connection.iter().chain(self.fields)
    }

    /// All its programs.
    #[must_use]
    pub fn programs(&self) -> Vec<&'static str> {
        self.features.iter().flat_map(|feature| feature.spots).map(|spot| spot.program).collect()
    }
}

impl Feature {
    /// Whether there is nothing to see without the field.
    fn needs(&self, field: &Field) -> bool {
        let connects = || CONNECTION.iter().any(|known| known.of == field.of);
        !field.optional && (field.of.iter().any(|of| self.needs.contains(of)) || connects())
    }
}

impl Field {
    /// A field that is there in all versions.
    #[must_use]
    pub const fn new(of: &'static [&'static str], name: &'static [&'static str]) -> Self {
        Self { of, name, optional: false }
    }

    /// A field that some versions do not have.
    #[must_use]
    pub const fn optional(of: &'static [&'static str], name: &'static [&'static str]) -> Self {
        Self { of, name, optional: true }
    }

    fn offset(&self, program: &Program) -> Option<u16> {
        let mut names = self.of.iter().flat_map(|of| self.name.iter().map(move |name| (of, name)));
        let offset = names.find_map(|(of, name)| program.offset(of, name))?;
        u16::try_from(offset.bytes()).ok().filter(|offset| u32::from(*offset) != GO_NOWHERE)
    }
}

impl Spot {
    /// A program where a function begins.
    #[must_use]
    pub const fn called(functions: &'static [&'static str], program: &'static str) -> Self {
        Self { functions, program, when: When::Called, tag: 0 }
    }

    /// A program where a function returns.
    #[must_use]
    pub const fn returns(functions: &'static [&'static str], program: &'static str) -> Self {
        Self { functions, program, when: When::Returns, tag: 0 }
    }

    /// The same with a tag.
    #[must_use]
    pub const fn tagged(self, tag: u32) -> Self {
        Self { tag, ..self }
    }

    /// A program where a function copies a value into a channel's buffer.
    #[must_use]
    pub const fn copies_in(functions: &'static [&'static str], program: &'static str) -> Self {
        Self { functions, program, when: When::CopiesIn, tag: 0 }
    }

    /// A program where a function copies a value from a channel's buffer.
    #[must_use]
    pub const fn copies_out(functions: &'static [&'static str], program: &'static str) -> Self {
        Self { functions, program, when: When::CopiesOut, tag: 0 }
    }

    /// A program where a function calls another, `called`.
    #[must_use]
    pub const fn calls(
        functions: &'static [&'static str],
        called: &'static str,
        program: &'static str,
    ) -> Self {
        Self { functions, program, when: When::Calls(called), tag: 0 }
    }

    /// Whether the code is not as it is known: a function that copies, or calls what is asked for, does it in one place.
    fn unknown(&self, program: &Program) -> bool {
        matches!(self.when, When::CopiesIn | When::CopiesOut | When::Calls(_))
            && self.functions.iter().any(|name| program.function(name).is_some())
            && self.places(program).len() != 1
    }

    fn places(&self, program: &Program) -> Vec<Place> {
        let Some(function) = self.functions.iter().find_map(|name| program.function(name)) else {
            return Vec::new();
        };
        let place = |offset| Place::at(self.program, offset).tagged(self.tag);
        match self.when {
            When::Called => vec![place(function.entry.offset)],
            When::Returns => function.returns.iter().map(|site| place(site.offset)).collect(),
            When::CopiesIn => copies(program, function, false).map(place).collect(),
            When::CopiesOut => copies(program, function, true).map(place).collect(),
            When::Calls(called) => {
                let to = program.function(called).map(|called| called.code.start);
                let calls = function.calls.iter().filter(|call| Some(call.to) == to);
                calls.map(|call| place(call.site.offset)).collect()
            }
        }
    }
}

/// Where `function` copies values, and then clears where they were or does not.
fn copies<'f>(
    program: &Program,
    function: &'f Function,
    clears: bool,
) -> impl Iterator<Item = u64> + 'f {
    let [copy, clear] = [COPY, CLEAR].map(|name| program.function(name).map(|it| it.code.start));
    let calls = function.calls.iter();
    let next = calls.clone().skip(1).map(|call| Some(call.to)).chain([None]);
    calls
        .zip(next)
        .filter(move |(call, next)| Some(call.to) == copy && (*next == clear) == clears)
        .map(|(call, _)| call.site.offset)
}

/// Go programs are executables.
pub(super) fn wants(part: Part, _path: &Path) -> bool {
    part == Part::Executable
}

/// Where `library`'s programs are to stand in a Go program.
pub(super) fn plan(library: &Library, binary: &Binary<'_>) -> Result<Option<Plan>, PlanError> {
    if binary.exe.facts.go.is_none() {
        return Ok(None);
    }
    match binary.go(read) {
        Ok(program) => Ok(of_program(library, program)),
        Err(error) => Err(PlanError(error.to_string())),
    }
}

/// Everything that any library wants, by one reading.
pub(super) fn read(path: &Path, offsets: &str) -> Result<Program, GoError> {
    let spots = LIBRARIES.iter().flat_map(|library| library.features).flat_map(|it| it.spots);
    let functions = spots.flat_map(|spot| spot.functions.iter().copied().chain(spot.when.called()));
    let functions: Vec<_> = functions.chain([COPY, CLEAR]).collect();
    let fields = LIBRARIES.iter().flat_map(|library| library.facts());
    let fields: Vec<_> = fields
        .flat_map(|field| {
            field.of.iter().flat_map(|of| field.name.iter().map(move |name| (of, name)))
        })
        .map(|(of, name)| vor_exe::go::Field { of, name })
        .collect();
    Program::open_by(path, &Wanted { functions: &functions, fields: &fields }, offsets)
}

/// `None`: the library is not linked in.
pub(super) fn of_program(library: &Library, program: &Program) -> Option<Plan> {
    let offsets: Vec<_> = library.facts().map(|field| field.offset(program)).collect();
    let mut plan = Plan::default();
    for feature in library.features {
        let first = feature.spots.first();
        if first.is_none_or(|spot| spot.places(program).is_empty() && !spot.unknown(program)) {
            continue;
        }
        let needed = library.facts().zip(&offsets).filter(|(field, _)| feature.needs(field));
        let missing = needed.filter(|(_, offset)| offset.is_none()).map(|(field, _)| {
            format!("{}.{}", field.of.first().unwrap_or(&""), field.name.first().unwrap_or(&""))
        });
        let missing: Vec<_> = missing.collect();
        if feature.spots.iter().any(|spot| spot.unknown(program)) {
            plan.without.push(format!("{}: the code is not as it is known", feature.name));
        } else if missing.is_empty() {
            plan.places.extend(feature.spots.iter().flat_map(|spot| spot.places(program)));
        } else {
            plan.without.push(format!(
                "{}: where {} is, is not known",
                feature.name,
                missing.join(", ")
            ));
        }
    }
    let nowhere = u16::try_from(GO_NOWHERE).unwrap_or(u16::MAX);
    let facts = offsets.iter().flat_map(|offset| offset.unwrap_or(nowhere).to_ne_bytes());
    plan.facts = facts.collect();
    (!plan.places.is_empty() || !plan.without.is_empty()).then_some(plan)
}
