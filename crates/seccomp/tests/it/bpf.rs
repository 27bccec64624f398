//! A small machine for classic BPF: as much of it as a seccomp filter may use.

use dhow_sys::seccomp::Instruction;

/// What a filter looks at: `struct seccomp_data`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) number: u32,
    pub(crate) audit: u32,
    pub(crate) arguments: [u64; 6],
}

impl Call {
    fn bytes(&self, big_endian: bool) -> [u8; 64] {
        let mut bytes = [0; 64];
        let word = |value: u32| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        bytes[..4].copy_from_slice(&word(self.number));
        bytes[4..8].copy_from_slice(&word(self.audit));
        for (place, argument) in bytes[16..].chunks_exact_mut(8).zip(self.arguments) {
            let long = if big_endian { argument.to_be_bytes() } else { argument.to_le_bytes() };
            place.copy_from_slice(&long);
        }
        bytes
    }
}

/// What a program answers, and how many instructions that took.
pub(crate) fn run(program: &[Instruction], call: &Call, big_endian: bool) -> (u32, usize) {
    let data = call.bytes(big_endian);
    let mut accumulator = 0u32;
    let mut next = 0;
    for steps in 1.. {
        let one = program[next];
        next += 1;
        let mut jump = |holds: bool| next += usize::from(if holds { one.jt } else { one.jf });
        match one.code {
            0x20 => {
                let at = usize::try_from(one.k).unwrap();
                assert_eq!(at % 4, 0, "an unaligned load");
                let word: [u8; 4] = data[at..at + 4].try_into().unwrap();
                accumulator =
                    if big_endian { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) };
            }
            0x54 => accumulator &= one.k,
            0x05 => next += usize::try_from(one.k).unwrap(),
            0x15 => jump(accumulator == one.k),
            0x25 => jump(accumulator > one.k),
            0x35 => jump(accumulator >= one.k),
            0x45 => jump(accumulator & one.k != 0),
            0x06 => return (one.k, steps),
            code => panic!("instruction {code:#x} is not one that a filter needs"),
        }
    }
    unreachable!("a program ends, as its jumps go forward only")
}
