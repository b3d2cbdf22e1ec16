// SPDX-License-Identifier: Apache-2.0
//! Where in a function's code probes belong: one place that every call passes before anything has changed,
//! every return, and every call of another function.

use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, Register};

use super::image::Machine;

/// A place for a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Site {
    /// Its offset in the file.
    pub offset: u64,
    /// Whether the kernel imitates the instruction there, which is much cheaper than to let the program take
    /// a single step.
    pub imitated: bool,
}

/// Places within one function, counted from its first byte.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Places {
    pub(super) entry: (u64, bool),
    pub(crate) returns: Vec<u64>,
    /// Each call of a place that the instruction names: where, and how far from the first byte what is called is.
    pub(super) calls: Vec<(u64, i64)>,
}

/// Reads a function's code.
pub(crate) fn places(machine: Machine, code: &[u8]) -> Places {
    match machine {
        Machine::X86 => x86(code),
        Machine::Arm => arm(code),
    }
}

/// Instructions of 64-bit ARM are four bytes each, and `ret` through the link register is one of them.
fn arm(code: &[u8]) -> Places {
    const RET: u32 = 0xd65f_03c0;
    let mut places = Places::default();
    let words = code.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word));
    for (at, word) in (0..).step_by(4).zip(words) {
        if word == RET {
            places.returns.push(at);
        } else if word >> 26 == 0b10_0101 {
            // `bl`: a signed number of words in the low 26 bits.
            let far = i64::from((word << 6).cast_signed() >> 6) * 4;
            places.calls.push((at, at.cast_signed() + far));
        }
    }
    places
}

fn x86(code: &[u8]) -> Places {
    let mut decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
    let mut entry = Entry::default();
    let mut returns = Vec::new();
    let mut calls = Vec::new();
    let mut targets = Vec::new();
    let mut instruction = Instruction::default();
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        entry.pass(&instruction);
        match instruction.flow_control() {
            FlowControl::Return => returns.push(instruction.ip()),
            FlowControl::Call => {
                calls.push((instruction.ip(), instruction.near_branch_target().cast_signed()));
            }
            FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch => {
                targets.push(instruction.near_branch_target());
            }
            _ => {}
        }
    }
    // A place in a loop is passed more than once.
    let place = entry.place.filter(|(at, _)| *at == 0 || !targets.contains(at));
    Places { entry: place.unwrap_or((0, false)), returns, calls }
}

/// Looks for the entry's place. The first instruction is right but often single-stepped: a look at the
/// stack's end. What follows it, as long as neither the arguments nor the stack pointer have changed, is as
/// good; and behind the branch it is passed once even when the stack had to grow first.
#[derive(Default)]
struct Entry {
    place: Option<(u64, bool)>,
    over: bool,
}

impl Entry {
    fn pass(&mut self, instruction: &Instruction) {
        if self.over {
            return;
        }
        if imitated(instruction) {
            self.place = Some((instruction.ip(), true));
        } else if instruction.ip() == 0 {
            self.place = Some((0, false));
        }
        let harmless = match instruction.mnemonic() {
            Mnemonic::Cmp | Mnemonic::Test | Mnemonic::Nop => true,
            // r12 and r13 hold no argument; the check of a large frame computes in r12.
            Mnemonic::Lea | Mnemonic::Mov | Mnemonic::Sub => {
                matches!(instruction.op0_register(), Register::R12 | Register::R13)
            }
            _ => false,
        };
        self.over = !(harmless || is_check(instruction));
    }
}

/// A branch away when the stack is too small.
fn is_check(instruction: &Instruction) -> bool {
    matches!(instruction.mnemonic(), Mnemonic::Jbe | Mnemonic::Jb | Mnemonic::Jae)
        && instruction.near_branch_target() > instruction.ip()
}

/// Whether the kernel imitates this instruction instead of single-stepping it.
fn imitated(instruction: &Instruction) -> bool {
    let push = matches!(instruction.code(), Code::Push_r64);
    let short = matches!(instruction.code(), Code::Nopd | Code::Nopw | Code::Nopq);
    let branch = matches!(
        instruction.flow_control(),
        FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch
    );
    push || (short && instruction.len() == 1) || branch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_behind_the_stack_check_is_taken_and_every_return_found() {
        // cmp rsp,[r14+16]; jbe +10; push rbp; mov rbp,rsp; test eax,eax; je +2; pop rbp; ret; pop rbp; ret; call +0; jmp 0
        let code = [
            0x49, 0x3b, 0x66, 0x10, 0x76, 0x0c, 0x55, 0x48, 0x89, 0xe5, 0x85, 0xc0, 0x74, 0x02,
            0x5d, 0xc3, 0x5d, 0xc3, 0xe8, 0, 0, 0, 0, 0xeb, 0xe7, 0xcc,
        ];
        let places = places(Machine::X86, &code);
        let expected = Places { entry: (6, true), returns: vec![15, 17], calls: vec![(18, 23)] };
        assert_eq!(places, expected);
    }

    #[test]
    fn without_a_push_the_branch_itself_is_taken() {
        // cmp rsp,[r14+16]; jbe +5; sub rsp,8; ret
        let code = [0x49, 0x3b, 0x66, 0x10, 0x76, 0x05, 0x48, 0x83, 0xec, 0x08, 0xc3];
        assert_eq!(places(Machine::X86, &code).entry, (4, true));
    }

    #[test]
    fn code_that_begins_with_work_is_probed_where_it_begins() {
        // mov rax,[rax]; push rbp; ret
        let code = [0x48, 0x8b, 0x00, 0x55, 0xc3];
        assert_eq!(places(Machine::X86, &code).entry, (0, false));
    }

    #[test]
    fn a_place_that_a_loop_comes_back_to_is_not_taken() {
        // cmp rax,rbx; push rbp; jmp -3
        let code = [0x48, 0x39, 0xd8, 0x55, 0xeb, 0xfd];
        assert_eq!(places(Machine::X86, &code).entry, (0, false));
    }

    #[test]
    fn returns_and_calls_of_arm_are_words() {
        // ret; no instruction; ret; bl -8; bl +4
        let code = [
            0xc0, 0x03, 0x5f, 0xd6, 0, 0xc0, 0x03, 0x5f, 0xc0, 0x03, 0x5f, 0xd6, 0xfe, 0xff, 0xff,
            0x97, 0x01, 0x00, 0x00, 0x94,
        ];
        let places = places(Machine::Arm, &code);
        assert_eq!(places.returns, [0, 8]);
        assert_eq!(places.calls, [(12, 4), (16, 20)]);
    }
}
