//! The module with its functions in another order.

use std::collections::BTreeMap;
use std::convert::Infallible;

use anyhow::Result;
use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{CodeSection, FunctionSection, Module};
use wasmparser::{CodeSectionReader, FunctionSectionReader, Operator, Parser, Payload};

use crate::wasm::{Encoded, encode, functions};

/// The module with its functions ordered by their rank, those of the same rank as they stood. Before all others are those that
/// are called in most places, as many as have a number of one byte (LEB128), which is what each of the calls then takes. And the
/// new number of each function.
pub(super) fn in_order(module: &[u8], rank: impl Fn(u32) -> usize) -> Result<(Vec<u8>, Vec<u32>)> {
    let (imported, count) = functions(module)?;
    let calls = calls(module)?;
    let mut order: Vec<u32> = (imported..count).collect();
    order.sort_by_key(|function| std::cmp::Reverse(calls.get(function)));
    let short = order.len().min(128_u32.saturating_sub(imported) as usize);
    let (often, others) = order.split_at_mut(short);
    often.sort_by_key(|function| (rank(*function), *function));
    others.sort_by_key(|function| (rank(*function), *function));
    let mut places: Vec<u32> = (0..count).collect();
    for (old, new) in order.iter().zip(imported..) {
        if let Some(place) = places.get_mut(*old as usize) {
            *place = new;
        }
    }
    let order = order.iter().map(|old| (old - imported) as usize).collect();
    let mut ordered = Ordered { places, order };
    Ok((encode(&mut ordered, module)?, ordered.places))
}

/// In how many places each function is called.
fn calls(module: &[u8]) -> Result<BTreeMap<u32, usize>> {
    let mut calls = BTreeMap::new();
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::CodeSectionEntry(body) = payload? {
            for operator in body.get_operators_reader()? {
                if let Operator::Call { function_index } = operator? {
                    *calls.entry(function_index).or_default() += 1;
                }
            }
        }
    }
    Ok(calls)
}

struct Ordered {
    /// The new number of each function.
    places: Vec<u32>,
    /// Which of the module's own functions stands at each place, counted without the imported ones.
    order: Vec<usize>,
}

impl Reencode for Ordered {
    type Error = Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, reencode::Error<Infallible>> {
        Ok(self.places.get(function as usize).copied().unwrap_or(function))
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: FunctionSectionReader<'_>,
    ) -> Encoded {
        let kinds = section.into_iter().collect::<Result<Vec<_>, _>>()?;
        for kind in self.order.iter().filter_map(|at| kinds.get(*at)) {
            functions.function(*kind);
        }
        Ok(())
    }

    fn parse_code_section(&mut self, code: &mut CodeSection, section: CodeSectionReader<'_>) -> Encoded {
        let bodies = section.into_iter().collect::<Result<Vec<_>, _>>()?;
        for at in self.order.clone() {
            if let Some(body) = bodies.get(at) {
                self.parse_function_body(code, body.clone())?;
            }
        }
        Ok(())
    }

    fn parse_custom_section(&mut self, _: &mut Module, _: wasmparser::CustomSectionReader<'_>) -> Encoded {
        Ok(())
    }
}
