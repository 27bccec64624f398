//! From rules to instructions.
//!
//! A jump goes forward only, and a conditional one at most 255 instructions. So the program is made from its end: what
//! an instruction jumps to is there already, and where it is too far away, a copy of the "return" or an unconditional
//! jump is put in between. `Emitter::code` therefore holds the program backwards.

use crate::Error;
use crate::arch::{Target, X32_BIT};
use crate::program::RET;
use crate::rule::{Case, Condition, ENOSYS, Entry, Rules};
use dhow_sys::seccomp::{Instruction, MAX_INSTRUCTIONS};
use oci_spec::runtime::{Arch, LinuxSeccompOperator as Operator};

const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const EQ: u16 = 0x15;
const GT: u16 = 0x25;
const GE: u16 = 0x35;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

/// What a filter does with an architecture that it does not list, as libseccomp has it.
const BAD_ARCH: u32 = 0;

/// Where a jump goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    /// The end of the filter, with this result.
    Result(u32),
    /// An instruction, by its index in `Emitter::code`.
    At(usize),
}

/// What a range of numbers comes to.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Leaf<'a> {
    Result(u32),
    /// With the architecture by which to read arguments: x86_64 and x32 share a tree.
    Cases(&'a Target, &'a [Case]),
}

/// The program for these architectures.
pub(crate) fn emit(targets: &[Target], rules: &Rules) -> Result<Vec<Instruction>, Error> {
    let mut emitter = Emitter { code: Vec::with_capacity(1024), default: rules.default };
    let mut next = Goal::Result(BAD_ARCH);
    for (index, target) in targets.iter().enumerate().rev() {
        let shares = |other: &&Target| other.audit == target.audit;
        if targets[..index].iter().any(|other| shares(&other)) {
            continue;
        }
        let sharing: Vec<&Target> = targets.iter().filter(shares).collect();
        let numbers: Vec<_> = sharing.iter().map(|target| rules.of(target)).collect();
        let ranges = ranges(&sharing, &numbers, rules);
        let tree = emitter.tree(&ranges);
        let section = emitter.load(NUMBER, tree);
        next = emitter.branch(EQ, target.audit, section, next);
    }
    emitter.load(ARCH, next);
    // A load is always the last thing put there, so the program starts with it.
    let mut code = emitter.code;
    code.reverse();
    if code.len() > MAX_INSTRUCTIONS { Err(Error::TooLong(code.len())) } else { Ok(code) }
}

/// What [`Rules::of`] tells of an architecture.
type Numbers = (Vec<(u32, Entry)>, Option<u32>);

/// All numbers from 0 to `u32::MAX` as ranges, each from its first number to the next range's.
fn ranges<'a>(
    targets: &[&'a Target],
    numbers: &'a [Numbers],
    rules: &Rules,
) -> Vec<(u32, Leaf<'a>)> {
    let mut ranges = Ranges(Vec::new());
    let x86_64 = targets[0].arch == Arch::ScmpArchX86_64 || targets[0].arch == Arch::ScmpArchX32;
    if !x86_64 {
        ranges.section(0, None, targets[0], &numbers[0], rules);
        return ranges.0;
    }
    let of = |arch| targets.iter().zip(numbers).find(|(target, _)| target.arch == arch);
    match of(Arch::ScmpArchX86_64) {
        Some((target, numbers)) => ranges.section(0, Some(X32_BIT), target, numbers, rules),
        None => ranges.push(0, Leaf::Result(BAD_ARCH)),
    }
    match of(Arch::ScmpArchX32) {
        Some((target, numbers)) => ranges.section(X32_BIT, None, target, numbers, rules),
        None => {
            ranges.push(X32_BIT, Leaf::Result(BAD_ARCH));
            // A tracer's "skip this call" is no call by x32.
            ranges.push(u32::MAX, Leaf::Result(rules.default));
        }
    }
    ranges.0
}

struct Ranges<'a>(Vec<(u32, Leaf<'a>)>);

impl<'a> Ranges<'a> {
    fn push(&mut self, from: u32, leaf: Leaf<'a>) {
        if let Some((last, _)) = self.0.last()
            && *last == from
        {
            self.0.pop();
        }
        if self.0.last().is_none_or(|(_, last)| *last != leaf) {
            self.0.push((from, leaf));
        }
    }

    /// One architecture's numbers, from `start` up to `end`.
    fn section(
        &mut self,
        start: u32,
        end: Option<u32>,
        target: &'a Target,
        (numbers, newest): &'a Numbers,
        rules: &Rules,
    ) {
        let default = Leaf::Result(rules.default);
        self.push(start, default);
        // s390x hands numbers above 255 through number 0, and leaves 0 where the kernel does not know them.
        if newest.is_some() && target.arch == Arch::ScmpArchS390x {
            self.push(0, Leaf::Result(ENOSYS));
            self.push(1, default);
        }
        for (number, entry) in numbers {
            if *number == 0 && newest.is_some() && target.arch == Arch::ScmpArchS390x {
                continue;
            }
            let leaf = match entry {
                Entry::Always(result) => Leaf::Result(*result),
                Entry::Cases(cases) => Leaf::Cases(target, cases),
            };
            self.push(*number, leaf);
            if let Some(next) = number.checked_add(1) {
                self.push(next, default);
            }
        }
        if let Some(above) = newest.and_then(|number| number.checked_add(1))
            && end.is_none_or(|end| above < end)
        {
            self.push(above, Leaf::Result(ENOSYS));
        }
    }
}

struct Emitter {
    /// The program, its last instruction first.
    code: Vec<Instruction>,
    default: u32,
}

impl Emitter {
    fn push(&mut self, code: u16, k: u32, jt: u8, jf: u8) -> Goal {
        self.code.push(Instruction { code, jt, jf, k });
        Goal::At(self.code.len() - 1)
    }

    /// Finds the number's range by halving, and goes where that leads.
    fn tree(&mut self, ranges: &[(u32, Leaf<'_>)]) -> Goal {
        match ranges {
            [(_, leaf)] => self.leaf(*leaf),
            // One number in the midst of others.
            [(_, around), (number, one), (next, after)]
                if around == after && number.checked_add(1) == Some(*next) =>
            {
                let around = self.leaf(*around);
                let one = self.leaf(*one);
                self.branch(EQ, *number, one, around)
            }
            ranges => {
                let (below, above) = ranges.split_at(ranges.len() / 2);
                let from = above.first().map_or(u32::MAX, |(from, _)| *from);
                let above = self.tree(above);
                let below = self.tree(below);
                self.branch(GE, from, above, below)
            }
        }
    }

    fn leaf(&mut self, leaf: Leaf<'_>) -> Goal {
        let (target, cases) = match leaf {
            Leaf::Result(result) => return Goal::Result(result),
            Leaf::Cases(target, cases) => (target, cases),
        };
        let mut otherwise = Goal::Result(self.default);
        for case in cases.iter().rev() {
            let mut then = Goal::Result(case.result);
            for condition in case.conditions.iter().rev() {
                then = self.condition(condition, target, then, otherwise);
            }
            otherwise = then;
        }
        otherwise
    }

    fn condition(&mut self, one: &Condition, target: &Target, yes: Goal, no: Goal) -> Goal {
        let (compare, yes, no) = match one.operator {
            Operator::ScmpCmpEq | Operator::ScmpCmpMaskedEq => (EQ, yes, no),
            Operator::ScmpCmpNe => (EQ, no, yes),
            Operator::ScmpCmpGe => (GE, yes, no),
            Operator::ScmpCmpLt => (GE, no, yes),
            Operator::ScmpCmpGt => (GT, yes, no),
            Operator::ScmpCmpLe => (GT, no, yes),
        };
        let argument = ARGUMENTS + 8 * u32::try_from(one.index).unwrap_or_default();
        let (upper, lower) =
            if target.big_endian { (argument, argument + 4) } else { (argument + 4, argument) };
        let (mask, value) = (halves(one.mask), halves(one.value));
        let goal = self.word(compare, lower, mask.1, value.1, yes, no);
        if !target.wide {
            return goal;
        }
        if compare == EQ {
            return self.word(EQ, upper, mask.0, value.0, goal, no);
        }
        let equal = self.branch(EQ, value.0, goal, no);
        let above = self.branch(GT, value.0, yes, equal);
        self.load(upper, above)
    }

    /// Compares half an argument.
    fn word(&mut self, compare: u16, at: u32, mask: u32, value: u32, yes: Goal, no: Goal) -> Goal {
        // Bits that do not count are taken for zero on both sides.
        let value = value & mask;
        if mask == 0 || yes == no {
            return yes;
        }
        let mut goal = self.branch(compare, value, yes, no);
        if mask != u32::MAX {
            goal = self.push(AND, mask, 0, 0);
        }
        self.load(at, goal)
    }

    /// Loads a word, and goes on at `goal`.
    fn load(&mut self, at: u32, goal: Goal) -> Goal {
        match goal {
            Goal::At(index) if index + 1 == self.code.len() => {}
            Goal::At(index) => {
                self.jump(index);
            }
            Goal::Result(result) => {
                self.push(RET, result, 0, 0);
            }
        }
        self.push(LOAD, at, 0, 0)
    }

    fn jump(&mut self, index: usize) -> Goal {
        let distance = u32::try_from(self.code.len() - index - 1).unwrap_or(u32::MAX);
        self.push(JUMP, distance, 0, 0)
    }

    fn branch(&mut self, compare: u16, k: u32, yes: Goal, no: Goal) -> Goal {
        if yes == no {
            return yes;
        }
        let yes = self.near(yes);
        let no = self.near(no);
        // `near` left room for one more instruction between.
        let skip = |index| u8::try_from(self.code.len() - index - 1).unwrap_or(u8::MAX);
        let (jt, jf) = (skip(yes), skip(no));
        self.push(compare, k, jt, jf)
    }

    /// An instruction that leads to `goal` and can be jumped to from the second next one at the latest.
    fn near(&mut self, goal: Goal) -> usize {
        const REACH: usize = 254;
        let reachable = |index: usize| self.code.len() - index - 1 <= REACH;
        match goal {
            Goal::At(index) if reachable(index) => return index,
            Goal::At(index) => self.jump(index),
            Goal::Result(result) => {
                let mut recent = self.code.iter().enumerate().rev().take(REACH);
                let found = recent.find(|(_, one)| one.code == RET && one.k == result);
                if let Some((index, _)) = found {
                    return index;
                }
                self.push(RET, result, 0, 0)
            }
        };
        self.code.len() - 1
    }
}

fn halves(value: u64) -> (u32, u32) {
    let upper = u32::try_from(value >> 32).unwrap_or_default();
    let lower = u32::try_from(value & u64::from(u32::MAX)).unwrap_or_default();
    (upper, lower)
}
