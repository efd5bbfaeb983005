//! The program of a filter, in the kernel's language for it (classic BPF).
//!
//! The number of a call is searched for by halves: an unlisted call costs the same few comparisons
//! wherever its number is. Since Linux 5.11 the kernel runs no filter at all for a call that the
//! filter allows by its number alone.

use libc::{
    BPF_ABS, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_JSET, BPF_JUMP, BPF_K, BPF_LD, BPF_RET,
    BPF_STMT, BPF_W, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS, seccomp_data,
    sock_filter,
};

use super::{Errno, Rule, set_id};

/// An ABI of system calls.
#[derive(Clone, Copy)]
pub(super) struct Abi {
    /// AUDIT_ARCH_* of linux/audit.h.
    pub(super) arch: u32,
    /// From this number on all calls fail with ENOSYS: those of another ABI with the same
    /// AUDIT_ARCH_* (x32), or newer ones than the rules.
    pub(super) end: Option<u32>,
}

/// What a call of an ABI without rules does.
#[derive(Clone, Copy)]
pub(super) enum Foreign {
    /// It fails with ENOSYS.
    Fails,
    /// Its process is killed by SIGSYS.
    IsKilled,
}

/// So few calls are compared one after the other.
const FEW: usize = 3;

/// The program of a filter with these rules for each ABI.
pub(super) fn filter(abis: &[(Abi, Vec<(u32, Rule)>)], foreign: Foreign) -> Vec<sock_filter> {
    let mut program = vec![load(std::mem::offset_of!(seccomp_data, arch))];
    for (abi, rules) in abis {
        program.extend(unless(BPF_JEQ, abi.arch, judge(*abi, rules)));
    }
    program.push(match foreign {
        Foreign::Fails => fail(Errno::ENOSYS),
        Foreign::IsKilled => decide(SECCOMP_RET_KILL_PROCESS),
    });
    program
}

/// The part of the program for the calls of one ABI.
fn judge(abi: Abi, rules: &[(u32, Rule)]) -> Vec<sock_filter> {
    let mut program = vec![load(std::mem::offset_of!(seccomp_data, nr))];
    if let Some(end) = abi.end {
        program.extend(unless(BPF_JGE, end, vec![fail(Errno::ENOSYS)]));
    }
    let mut rules = rules.to_vec();
    rules.sort_by_key(|(number, _)| *number);
    program.extend(search(&rules));
    program
}

/// Finds the rule for the loaded number. The rules are sorted.
fn search(rules: &[(u32, Rule)]) -> Vec<sock_filter> {
    let mut program = Vec::new();
    if rules.len() > FEW {
        let (lower, upper) = rules.split_at(rules.len() / 2);
        program.extend(unless(BPF_JGE, upper[0].0, search(upper)));
        program.extend(search(lower));
    } else {
        for (number, rule) in rules {
            program.extend(unless(BPF_JEQ, *number, apply(*rule)));
        }
        program.push(allow());
    }
    program
}

/// The part of the program that applies a rule.
fn apply(rule: Rule) -> Vec<sock_filter> {
    match rule {
        Rule::Always(cause) => vec![fail(cause)],
        Rule::WithBits(place, bits, cause) => {
            let failed = unless(BPF_JSET, bits, vec![fail(cause)]);
            [vec![load_argument(place)], failed, vec![allow()]].concat()
        }
        Rule::OneOf(place, numbers, cause) => among(place, numbers, fail(cause), allow()),
        Rule::NoneOf(place, numbers, cause) => among(place, numbers, allow(), fail(cause)),
        Rule::CreatesSetId(flags, mode) => {
            let judged = apply(Rule::WithBits(mode, set_id::BITS, Errno::EPERM));
            let created = unless(BPF_JSET, set_id::CREATES, judged);
            [vec![load_argument(flags)], created, vec![allow()]].concat()
        }
    }
}

/// One decision if the argument at this place is one of the numbers, else another one.
fn among(place: usize, numbers: &[u32], one: sock_filter, none: sock_filter) -> Vec<sock_filter> {
    let compared = numbers.iter().flat_map(|number| unless(BPF_JEQ, *number, vec![one]));
    std::iter::once(load_argument(place)).chain(compared).chain([none]).collect()
}

/// Skips a part of the program, unless the comparison of the loaded value with a number is true.
/// The part ends with a decision.
fn unless(comparison: u32, number: u32, part: Vec<sock_filter>) -> Vec<sock_filter> {
    let compare = |if_false| {
        let if_true = u8::from(if_false == 0);
        // SAFETY: makes a value of its arguments.
        unsafe { BPF_JUMP(code(BPF_JMP | comparison | BPF_K), number, if_true, if_false) }
    };
    let skip: Vec<sock_filter> = match u8::try_from(part.len()) {
        Ok(length) if length > 0 => vec![compare(length)],
        // A comparison can skip 255 instructions, a jump any number.
        _ => vec![compare(0), statement(BPF_JMP | BPF_JA, part.len() as u32)],
    };
    skip.into_iter().chain(part).collect()
}

fn load(offset: usize) -> sock_filter {
    statement(BPF_LD | BPF_W | BPF_ABS, offset as u32)
}

/// The lower half of an argument; both machines are little-endian. The kernel uses no more of a
/// mode, of flags, of an ioctl's number and of an address family.
fn load_argument(place: usize) -> sock_filter {
    load(std::mem::offset_of!(seccomp_data, args) + place * size_of::<u64>())
}

fn fail(cause: Errno) -> sock_filter {
    decide(SECCOMP_RET_ERRNO | cause as u32)
}

fn allow() -> sock_filter {
    decide(SECCOMP_RET_ALLOW)
}

fn decide(decision: u32) -> sock_filter {
    statement(BPF_RET | BPF_K, decision)
}

fn statement(bits: u32, operand: u32) -> sock_filter {
    // SAFETY: makes a value of its arguments.
    unsafe { BPF_STMT(code(bits), operand) }
}

/// The constants of libc have 32 bits, the field of an instruction 16; 8 are used.
fn code(bits: u32) -> u16 {
    bits as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARCH: u32 = 7;
    const ALLOWED: u32 = SECCOMP_RET_ALLOW;

    fn failed(cause: Errno) -> u32 {
        SECCOMP_RET_ERRNO | cause as u32
    }

    /// Runs a program for a call as the kernel does. Returns the decision, and how many
    /// instructions it took.
    fn run(program: &[sock_filter], arch: u32, number: u32, arguments: [u32; 4]) -> (u32, usize) {
        let (mut at, mut loaded, mut steps) = (0, 0, 0);
        loop {
            let instruction = program[at];
            (at, steps) = (at + 1, steps + 1);
            let operand = instruction.k;
            let jump = |is_true| usize::from(if is_true { instruction.jt } else { instruction.jf });
            match u32::from(instruction.code) {
                code if code == BPF_LD | BPF_W | BPF_ABS => {
                    loaded = match operand {
                        0 => number,
                        4 => arch,
                        place => arguments[(place as usize - 16) / 8],
                    }
                }
                code if code == BPF_JMP | BPF_JA => at += operand as usize,
                code if code == BPF_JMP | BPF_JEQ => at += jump(loaded == operand),
                code if code == BPF_JMP | BPF_JGE => at += jump(loaded >= operand),
                code if code == BPF_JMP | BPF_JSET => at += jump(loaded & operand != 0),
                _ => return (operand, steps),
            }
        }
    }

    /// A hundred calls with even numbers.
    fn many(rule: Rule) -> Vec<sock_filter> {
        let rules = (1..=100).rev().map(|half| (2 * half, rule)).collect();
        filter(&[(Abi { arch: ARCH, end: Some(300) }, rules)], Foreign::IsKilled)
    }

    #[test]
    fn each_rule_decides_about_its_own_calls_and_no_other_call_fails() {
        let program = many(Rule::OneOf(1, &[3, 4], Errno::EIO));
        for number in 0..300 {
            let is_listed = number % 2 == 0 && (2..=200).contains(&number);
            let listed = if is_listed { failed(Errno::EIO) } else { ALLOWED };
            for (second, expected) in [(2, ALLOWED), (3, listed), (4, listed), (5, ALLOWED)] {
                assert_eq!(run(&program, ARCH, number, [3, second, 3, 3]).0, expected, "{number}");
            }
        }
    }

    #[test]
    fn calls_behind_the_end_and_calls_of_another_abi_are_refused() {
        let program = many(Rule::Always(Errno::EPERM));
        for number in [300, 0x4000_0000, u32::MAX] {
            assert_eq!(run(&program, ARCH, number, [0; 4]).0, failed(Errno::ENOSYS));
        }
        assert_eq!(run(&program, ARCH + 1, 1, [0; 4]).0, SECCOMP_RET_KILL_PROCESS);
    }

    #[test]
    fn a_call_takes_few_instructions_whatever_its_number_is() {
        let program = many(Rule::CreatesSetId(1, 2));
        let steps = (0..300).map(|number| run(&program, ARCH, number, [0; 4]).1);
        let most = steps.max();
        assert!(most <= Some(20), "{most:?} of {}", program.len());
    }

    #[test]
    fn a_rule_looks_at_the_arguments_that_it_names() {
        let decide = |rule, arguments| {
            let abi = Abi { arch: ARCH, end: None };
            let program = filter(&[(abi, vec![(1, rule)])], Foreign::Fails);
            run(&program, ARCH, 1, arguments).0
        };
        let bits = Rule::WithBits(0, 6, Errno::EPERM);
        assert_eq!(decide(bits, [9, 6, 6, 6]), ALLOWED);
        assert_eq!(decide(bits, [4, 0, 0, 0]), failed(Errno::EPERM));
        let none = Rule::NoneOf(2, &[1, 2], Errno::EINVAL);
        assert_eq!(decide(none, [0, 0, 2, 0]), ALLOWED);
        assert_eq!(decide(none, [1, 1, 3, 1]), failed(Errno::EINVAL));
        let creates = Rule::CreatesSetId(0, 1);
        let flags = libc::O_CREAT as u32;
        assert_eq!(decide(creates, [flags, 0o755, 0, 0]), ALLOWED);
        assert_eq!(decide(creates, [0, 0o4755, 0, 0]), ALLOWED);
        assert_eq!(decide(creates, [flags, 0o4755, 0, 0]), failed(Errno::EPERM));
    }
}
