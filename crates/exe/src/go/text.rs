// SPDX-License-Identifier: Apache-2.0
//! Where Go code begins in memory.
//!
//! Go 1.18 to 1.25 say it in the table of functions. Later ones leave it to relocation, and C code may stand
//! in front; it is then the one place from which the sampled functions begin as Go functions begin: with a
//! look at the end of their stack.

use super::GoError;
use super::image::{Image, Machine};
use super::pclntab::Table;

/// Functions that vote.
const SAMPLES: u64 = 48;
/// Places that are tried at once, and together.
const SPAN: usize = 128 << 10;
const MAX_SPANS: usize = 16;
/// What the beginning of code is a multiple of.
const ALIGN: usize = 16;

/// The address of the first byte of Go code.
pub(super) fn find(image: &Image<'_>, table: &Table) -> Result<u64, GoError> {
    let samples = table.sample(image, SAMPLES)?;
    if table.absolute() {
        return agreed(image, &samples, 0, 1)?.ok_or(GoError::NoText);
    }
    if let Some(text) = table.text
        && let Some(found) = agreed(image, &samples, text, 1)?
    {
        return Ok(found);
    }
    let section = image.section(&[".text"]).map(|text| text.address);
    let segment = image.segments.iter().find(|segment| segment.code).map(|code| code.address);
    let start = section.or(segment).ok_or(GoError::NoText)?;
    for span in 0..MAX_SPANS {
        let at = start.saturating_add(u64::try_from(span * SPAN).unwrap_or(u64::MAX));
        if let Some(found) = agreed(image, &samples, at, SPAN)? {
            return Ok(found);
        }
    }
    Err(GoError::NoText)
}

/// The place among the `span` from `start` on that at least half of the samples vote for.
fn agreed(
    image: &Image<'_>,
    samples: &[u64],
    start: u64,
    span: usize,
) -> Result<Option<u64>, GoError> {
    let mut votes = vec![0_usize; span.div_ceil(ALIGN)];
    let mut bytes = vec![0; span + 4];
    for sample in samples {
        let Some((offset, _)) = start.checked_add(*sample).and_then(|at| image.place(at)) else {
            continue;
        };
        let filled = image.fill(&mut bytes, offset)?;
        let code = bytes.get(..filled).unwrap_or_default();
        for (place, vote) in votes.iter_mut().enumerate() {
            let here = code.get(place * ALIGN..).unwrap_or_default();
            *vote += usize::from(looks_at_stack(image.machine, here));
        }
    }
    let best = votes.iter().enumerate().max_by_key(|(_, votes)| **votes);
    Ok(best
        .filter(|(_, votes)| **votes > 0 && **votes * 2 >= samples.len())
        .and_then(|(place, _)| start.checked_add(u64::try_from(place * ALIGN).ok()?)))
}

/// Whether code begins by comparing the stack pointer with the goroutine's limit.
fn looks_at_stack(machine: Machine, code: &[u8]) -> bool {
    match machine {
        // cmp rsp, [r14+16]; lea r12, [rsp-...]
        Machine::X86 => {
            code.starts_with(&[0x49, 0x3b, 0x66, 0x10])
                || code.starts_with(&[0x4c, 0x8d, 0x64, 0x24])
                || code.starts_with(&[0x4c, 0x8d, 0xa4, 0x24])
        }
        // ldr x16, [x28, #16]
        Machine::Arm => code.starts_with(&[0x90, 0x0b, 0x40, 0xf9]),
    }
}
