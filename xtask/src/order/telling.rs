//! The copy of the module that tells its host what runs.

use std::convert::Infallible;

use anyhow::Result;
use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{CodeSection, EntityType, ImportSection, Instruction, TypeSection, ValType};
use wasmparser::FunctionBody;

use crate::wasm::{Encoded, encode, functions};

/// The module with an import `env.entered`, which each function calls with its number as the first thing, and an import
/// `env.branch`, which each branch (`if`, `br_if`) calls with its condition and its number, counted from the first in the module,
/// and which gives the condition back.
pub(super) fn tell(module: &[u8]) -> Result<Vec<u8>> {
    let (imported, _) = functions(module)?;
    encode(&mut Telling { imported, next: imported, branch: 0, kind: 0 }, module)
}

struct Telling {
    imported: u32,
    /// The number of the function that comes next.
    next: u32,
    /// The number of the branch that comes next.
    branch: u32,
    /// The type of a function that takes a number; the next is the type of one that takes two and gives one.
    kind: u32,
}

impl Reencode for Telling {
    type Error = Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, reencode::Error<Infallible>> {
        Ok(if function < self.imported { function } else { function + 2 })
    }

    fn parse_type_section(&mut self, types: &mut TypeSection, section: wasmparser::TypeSectionReader<'_>) -> Encoded {
        reencode::utils::parse_type_section(self, types, section)?;
        self.kind = types.len();
        types.ty().function([ValType::I32], []);
        types.ty().function([ValType::I32, ValType::I32], [ValType::I32]);
        Ok(())
    }

    fn parse_import_section(
        &mut self,
        imports: &mut ImportSection,
        section: wasmparser::ImportSectionReader<'_>,
    ) -> Encoded {
        reencode::utils::parse_import_section(self, imports, section)?;
        imports.import("env", "entered", EntityType::Function(self.kind));
        imports.import("env", "branch", EntityType::Function(self.kind + 1));
        Ok(())
    }

    fn parse_function_body(&mut self, code: &mut CodeSection, body: FunctionBody<'_>) -> Encoded {
        let mut function = self.new_function_with_parsed_locals(&body)?;
        function.instruction(&Instruction::I32Const(self.next.cast_signed()));
        function.instruction(&Instruction::Call(self.imported));
        self.next += 1;
        let mut reader = body.get_operators_reader()?;
        while !reader.eof() {
            let instruction = self.parse_instruction(&mut reader)?;
            if matches!(instruction, Instruction::If(_) | Instruction::BrIf(_)) {
                function.instruction(&Instruction::I32Const(self.branch.cast_signed()));
                function.instruction(&Instruction::Call(self.imported + 1));
                self.branch += 1;
            }
            function.instruction(&instruction);
        }
        code.function(&function);
        Ok(())
    }
}
