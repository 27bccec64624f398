//! The device rules as an eBPF program of the type `BPF_PROG_TYPE_CGROUP_DEVICE`.
//!
//! It keeps the kinds of access that were asked for and are not decided yet in a register, and goes through the rules
//! from the last one: an allowing rule takes its kinds off, and grants when none is left; a denying one refuses where it
//! has one of them.

use dhow_sys::bpf::Instruction;

use super::{ALL, Kind, Rule};

const LOAD_WORD: u8 = 0x61;
const MOVE_IMMEDIATE: u8 = 0xb7;
const MOVE_REGISTER: u8 = 0xbf;
const AND_IMMEDIATE: u8 = 0x57;
const SHIFT_RIGHT: u8 = 0x77;
const JUMP_NOT_EQUAL: u8 = 0x55;
const JUMP_EQUAL: u8 = 0x15;
const EXIT: u8 = 0x95;

/// Registers.
const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const TYPE: u8 = 2;
const ASKED: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const SCRATCH: u8 = 6;

/// Offsets in `struct bpf_cgroup_dev_ctx`: the access in the upper half of the first word, the type in the lower one.
const ACCESS_TYPE: i16 = 0;
const MAJOR_AT: i16 = 4;
const MINOR_AT: i16 = 8;

/// The program for rules, which are short enough in number for the kernel: a million instructions is its limit.
pub(super) fn program(rules: &[Rule]) -> Vec<Instruction> {
    let mut code = vec![
        one(LOAD_WORD, TYPE, CONTEXT, ACCESS_TYPE, 0),
        one(MOVE_REGISTER, ASKED, TYPE, 0, 0),
        one(AND_IMMEDIATE, TYPE, 0, 0, 0xffff),
        one(SHIFT_RIGHT, ASKED, 0, 0, 16),
        one(LOAD_WORD, MAJOR, CONTEXT, MAJOR_AT, 0),
        one(LOAD_WORD, MINOR, CONTEXT, MINOR_AT, 0),
    ];
    for rule in rules.iter().rev() {
        if rule.is_all() {
            code.extend(answer(rule.allow));
            return code;
        }
        let then = consequence(rule);
        let mut tests = Vec::new();
        let kind = rule.kind.map(|kind| match kind {
            Kind::Block => 1,
            Kind::Char => 2,
        });
        for (register, value) in [(TYPE, kind), (MAJOR, rule.major), (MINOR, rule.minor)] {
            let Some(value) = value else { continue };
            tests.push((register, i32::try_from(value).unwrap_or(-1)));
        }
        // A test that fails goes on behind the consequence.
        for (index, (register, value)) in tests.iter().enumerate() {
            let left = tests.len() - index - 1 + then.len();
            code.push(one(JUMP_NOT_EQUAL, *register, 0, distance(left), *value));
        }
        code.extend(then);
    }
    code.extend(answer(false));
    code
}

/// What a matching rule does, if it does not decide: on to the next instruction.
fn consequence(rule: &Rule) -> Vec<Instruction> {
    let access = i32::from(rule.access);
    if rule.allow {
        let [set, exit] = answer(true);
        return vec![
            one(AND_IMMEDIATE, ASKED, 0, 0, i32::from(ALL & !rule.access)),
            one(JUMP_NOT_EQUAL, ASKED, 0, 2, 0),
            set,
            exit,
        ];
    }
    let [set, exit] = answer(false);
    vec![
        one(MOVE_REGISTER, SCRATCH, ASKED, 0, 0),
        one(AND_IMMEDIATE, SCRATCH, 0, 0, access),
        one(JUMP_EQUAL, SCRATCH, 0, 2, 0),
        set,
        exit,
    ]
}

fn answer(allow: bool) -> [Instruction; 2] {
    [one(MOVE_IMMEDIATE, RESULT, 0, 0, i32::from(allow)), one(EXIT, 0, 0, 0, 0)]
}

fn distance(instructions: usize) -> i16 {
    i16::try_from(instructions).unwrap_or(i16::MAX)
}

const fn one(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> Instruction {
    // The registers are bit fields: the destination is in the lower half of the byte on a little-endian machine.
    let registers = if cfg!(target_endian = "little") { to | from << 4 } else { to << 4 | from };
    Instruction { code, registers, offset, immediate }
}

/// A small machine for such programs: registers, a context of three words.
#[cfg(test)]
pub(super) fn run(program: &[Instruction], context: [u32; 3]) -> u64 {
    let mut registers = [0u64; 11];
    let mut next = 0usize;
    // Jumps go forward only, so a program ends.
    while let Some(one) = program.get(next) {
        next += 1;
        let (low, high) = (usize::from(one.registers & 15), usize::from(one.registers >> 4));
        let (to, from) = if cfg!(target_endian = "little") { (low, high) } else { (high, low) };
        let immediate = u64::from_ne_bytes(i64::from(one.immediate).to_ne_bytes());
        let mut jump = |holds: bool| {
            if holds {
                next = next.checked_add_signed(isize::from(one.offset)).unwrap();
            }
        };
        match one.code {
            LOAD_WORD => {
                assert_eq!(from, usize::from(CONTEXT));
                registers[to] = u64::from(context[usize::try_from(one.offset).unwrap() / 4]);
            }
            MOVE_IMMEDIATE => registers[to] = immediate,
            MOVE_REGISTER => registers[to] = registers[from],
            AND_IMMEDIATE => registers[to] &= immediate,
            SHIFT_RIGHT => registers[to] >>= immediate,
            JUMP_NOT_EQUAL => jump(registers[to] != immediate),
            JUMP_EQUAL => jump(registers[to] == immediate),
            EXIT => return registers[0],
            code => panic!("instruction {code:#x} is not one that the program needs"),
        }
    }
    panic!("the program runs off its end");
}
