//! Which way branches go: from what a module told to a text, and from the text to hints in a module.

use std::collections::BTreeMap;
use std::convert::Infallible;

use anyhow::Result;
use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{BranchHint, BranchHints, Module, SectionId};
use wasmparser::{Operator, Parser, Payload};

use crate::wasm::{encode, functions};

/// How often the condition of a branch was false, and how often true.
pub(super) type Went = [u64; 2];

/// Where the branches (`if`, `br_if`) of each of the module's own functions stand, in bytes from where the function begins.
pub(super) fn branches(module: &[u8]) -> Result<BTreeMap<u32, Vec<u32>>> {
    let (imported, _) = functions(module)?;
    let mut branches = BTreeMap::new();
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::CodeSectionEntry(body) = payload? {
            let mut found = Vec::new();
            for operator in body.get_operators_reader()?.into_iter_with_offsets() {
                if let (Operator::If { .. } | Operator::BrIf { .. }, at) = operator? {
                    found.push(u32::try_from(at - body.range().start)?);
                }
            }
            branches.insert(imported + u32::try_from(branches.len())?, found);
        }
    }
    Ok(branches)
}

/// A sign for each branch of a function: `0` where the condition was never true, `1` where it always was, `.` for any other.
pub(super) fn signs(went: &[Went]) -> String {
    let sign = |went: &Went| match went.map(|times| times > 0) {
        [true, false] => '0',
        [false, true] => '1',
        _ => '.',
    };
    went.iter().map(sign).collect()
}

/// The module with hints in it: for each of these functions where its branches stand ([`branches`]), and their signs.
pub(super) fn put(module: &[u8], functions: &BTreeMap<u32, (Vec<u32>, &str)>) -> Result<Vec<u8>> {
    let mut hints = BranchHints::new();
    for (function, (branches, signs)) in functions {
        let hint = |(at, sign): (&u32, char)| {
            Some(BranchHint { branch_func_offset: *at, branch_hint_value: sign.to_digit(2)? })
        };
        let of_function: Vec<_> = branches.iter().zip(signs.chars()).filter_map(hint).collect();
        if !of_function.is_empty() {
            hints.function_hints(*function, of_function);
        }
    }
    encode(&mut Hinted(hints), module)
}

struct Hinted(BranchHints);

impl Reencode for Hinted {
    type Error = Infallible;

    /// The section stands before the code (Branch Hinting proposal, "Binary representation").
    fn intersperse_section_hook(
        &mut self,
        module: &mut Module,
        _: Option<SectionId>,
        before: Option<SectionId>,
    ) -> Result<(), reencode::Error<Infallible>> {
        if before == Some(SectionId::Code) && !self.0.is_empty() {
            module.section(&self.0);
        }
        Ok(())
    }
}
