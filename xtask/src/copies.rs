//! Copies of a few bytes, made in the module itself.
//!
//! An engine leaves the module for each `memory.copy`: V8 calls a function of its own in C++, as Cranelift's code does. A new
//! token has dozens of them, most for a name or a number. So each `memory.copy` becomes a call of one function that is added to
//! the module: it copies up to [`FEW`] bytes by itself, and leaves it to `memory.copy` where there are more. That call is
//! shorter, too.
//!
//! As with `memory.copy`, what lies where it is copied to counts as it was before: all is read before anything is written.

use std::convert::Infallible;

use anyhow::Result;
use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{
    BlockType, CodeSection, Function, FunctionSection, Instruction, InstructionSink, MemArg, NameMap, NameSection,
    TypeSection, ValType,
};
use wasmparser::FunctionBody;

use crate::wasm::{Encoded, encode, functions};

/// The most bytes that are copied in the module.
const FEW: i32 = 64;
/// The name of the function that is added.
const NAME: &str = "carded_copy";

/// The module, with its copies made by one function of its own.
pub(crate) fn bring_in(module: &[u8]) -> Result<Vec<u8>> {
    let (_, all) = functions(module)?;
    encode(&mut Copies { function: all, kind: 0 }, module)
}

struct Copies {
    /// The number of the function that is added: the last.
    function: u32,
    /// The number of its type.
    kind: u32,
}

impl Reencode for Copies {
    type Error = Infallible;

    fn parse_type_section(&mut self, types: &mut TypeSection, section: wasmparser::TypeSectionReader<'_>) -> Encoded {
        reencode::utils::parse_type_section(self, types, section)?;
        self.kind = types.len();
        types.ty().function([ValType::I32; 3], []);
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: wasmparser::FunctionSectionReader<'_>,
    ) -> Encoded {
        reencode::utils::parse_function_section(self, functions, section)?;
        functions.function(self.kind);
        Ok(())
    }

    fn parse_code_section(&mut self, code: &mut CodeSection, section: wasmparser::CodeSectionReader<'_>) -> Encoded {
        reencode::utils::parse_code_section(self, code, section)?;
        code.function(&copy());
        Ok(())
    }

    fn parse_function_body(&mut self, code: &mut CodeSection, body: FunctionBody<'_>) -> Encoded {
        let mut function = self.new_function_with_parsed_locals(&body)?;
        let mut reader = body.get_operators_reader()?;
        while !reader.eof() {
            function.instruction(&match self.parse_instruction(&mut reader)? {
                Instruction::MemoryCopy { src_mem: 0, dst_mem: 0 } => Instruction::Call(self.function),
                other => other,
            });
        }
        code.function(&function);
        Ok(())
    }

    fn parse_custom_name_subsection(&mut self, names: &mut NameSection, subsection: wasmparser::Name<'_>) -> Encoded {
        let wasmparser::Name::Function(known) = subsection else {
            return reencode::utils::parse_custom_name_subsection(self, names, subsection);
        };
        let mut all = NameMap::new();
        for naming in known {
            let naming = naming?;
            all.append(naming.index, naming.name);
        }
        all.append(self.function, NAME);
        names.functions(&all);
        Ok(())
    }
}

/// How the bytes of one width are moved: as many, read and written so.
struct Width {
    bytes: i32,
    load: fn(&mut InstructionSink<'_>, MemArg),
    store: fn(&mut InstructionSink<'_>, MemArg),
    /// The locals that hold the first and the last of them.
    first: u32,
    last: u32,
}

const TO: u32 = 0;
const FROM: u32 = 1;
const LENGTH: u32 = 2;

const WIDTHS: [Width; 4] = [
    Width {
        bytes: 16,
        load: |code, at| _ = code.v128_load(at),
        store: |code, at| _ = code.v128_store(at),
        first: 3,
        last: 4,
    },
    Width {
        bytes: 8,
        load: |code, at| _ = code.i64_load(at),
        store: |code, at| _ = code.i64_store(at),
        first: 7,
        last: 8,
    },
    Width {
        bytes: 4,
        load: |code, at| _ = code.i32_load(at),
        store: |code, at| _ = code.i32_store(at),
        first: 9,
        last: 10,
    },
    Width {
        bytes: 2,
        load: |code, at| _ = code.i32_load16_u(at),
        store: |code, at| _ = code.i32_store16(at),
        first: 9,
        last: 10,
    },
];
/// The locals for the second sixteen bytes and the last but one, of more than thirty-two.
const SECOND: u32 = 5;
const LAST_BUT_ONE: u32 = 6;

/// `(to, from, length)`: by the greatest width that the length has room for, the first and the last so many bytes, which meet or
/// overlap.
fn copy() -> Function {
    let mut function = Function::new([(4, ValType::V128), (2, ValType::I64), (2, ValType::I32)]);
    let mut code = function.instructions();
    code.local_get(LENGTH).i32_const(FEW).i32_gt_u().if_(BlockType::Empty);
    code.local_get(TO).local_get(FROM).local_get(LENGTH).memory_copy(0, 0).return_().end();
    for width in WIDTHS {
        let at = |offset: u64| MemArg { offset, align: 0, memory_index: 0 };
        code.local_get(LENGTH).i32_const(width.bytes).i32_ge_u().if_(BlockType::Empty);
        code.local_get(FROM);
        (width.load)(&mut code, at(0));
        code.local_set(width.first);
        before_the_end(&mut code, FROM, width.bytes);
        (width.load)(&mut code, at(0));
        code.local_set(width.last);
        if width.bytes == 16 {
            code.local_get(LENGTH).i32_const(32).i32_gt_u().if_(BlockType::Empty);
            code.local_get(FROM).v128_load(at(16)).local_set(SECOND);
            before_the_end(&mut code, FROM, 32);
            code.v128_load(at(0)).local_set(LAST_BUT_ONE);
            code.local_get(TO).local_get(SECOND).v128_store(at(16));
            before_the_end(&mut code, TO, 32);
            code.local_get(LAST_BUT_ONE).v128_store(at(0)).end();
        }
        code.local_get(TO).local_get(width.first);
        (width.store)(&mut code, at(0));
        before_the_end(&mut code, TO, width.bytes);
        code.local_get(width.last);
        (width.store)(&mut code, at(0));
        code.return_().end();
    }
    let byte = MemArg { offset: 0, align: 0, memory_index: 0 };
    code.local_get(LENGTH).if_(BlockType::Empty);
    code.local_get(TO).local_get(FROM).i32_load8_u(byte).i32_store8(byte).end().end();
    function
}

/// The address so many bytes before the end of what begins there.
fn before_the_end(code: &mut InstructionSink<'_>, begin: u32, bytes: i32) {
    code.local_get(begin).local_get(LENGTH).i32_add().i32_const(bytes).i32_sub();
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use wasm_encoder::{ExportKind, ExportSection, MemorySection, MemoryType, Module};
    use wasmparser::{Operator, Parser, Payload};

    use super::*;

    /// One function, exported under `copy`, that copies by `memory.copy`; its memory under `memory`.
    fn module() -> Vec<u8> {
        let (mut types, mut functions, mut memories) =
            (TypeSection::new(), FunctionSection::new(), MemorySection::new());
        let (mut exports, mut code) = (ExportSection::new(), CodeSection::new());
        types.ty().function([ValType::I32; 3], []);
        functions.function(0);
        let memory = MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2: None };
        memories.memory(memory);
        exports.export("copy", ExportKind::Func, 0).export("memory", ExportKind::Memory, 0);
        let mut function = Function::new([]);
        function.instructions().local_get(0).local_get(1).local_get(2).memory_copy(0, 0).end();
        code.function(&function);
        let mut module = Module::new();
        module.section(&types).section(&functions).section(&memories).section(&exports).section(&code);
        let (mut names, mut known) = (NameSection::new(), NameMap::new());
        known.append(0, "caller");
        names.functions(&known);
        module.section(&names);
        module.finish()
    }

    #[test]
    fn copies_go_through_the_one_function_that_is_added() {
        let changed = bring_in(&module()).unwrap();
        let bodies: Vec<Vec<_>> = Parser::new(0)
            .parse_all(&changed)
            .filter_map(|payload| match payload.unwrap() {
                Payload::CodeSectionEntry(body) => {
                    Some(body.get_operators_reader().unwrap().into_iter().map(Result::unwrap).collect())
                }
                _ => None,
            })
            .collect();
        let [caller, added] = &bodies[..] else { panic!("{} functions", bodies.len()) };
        assert!(caller.iter().any(|operator| matches!(operator, Operator::Call { function_index: 1 })));
        assert!(!caller.iter().any(|operator| matches!(operator, Operator::MemoryCopy { .. })));
        assert_eq!(added.iter().filter(|operator| matches!(operator, Operator::MemoryCopy { .. })).count(), 1);
        let names = crate::wasm::names(&changed).unwrap();
        assert_eq!(names.get(&1).map(String::as_str), Some(NAME));
        assert_eq!(names.get(&0).map(String::as_str), Some("caller"));
    }

    /// In node's V8, beside what JavaScript's `copyWithin` makes of the same memory: all lengths, each with the two places apart,
    /// and overlapping either way.
    #[test]
    fn it_copies_what_memory_copy_copies() {
        const CHECK: &str = r"
            const module = new WebAssembly.Module(require('fs').readFileSync(0));
            const { copy, memory } = new WebAssembly.Instance(module).exports;
            const bytes = new Uint8Array(memory.buffer), end = bytes.length;
            let number = 7;
            const fill = () => { for (let at = 0; at < 600; at++) bytes[at] = bytes[end - 1 - at] = number = (number * 37 + 11) & 255; };
            let count = 0;
            for (let length = 0; length <= 150; length++) {
                for (const base of [200, end - 300 - length]) {
                    for (const distance of [0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 150]) {
                        for (const [to, from] of [[base, base + distance], [base + distance, base]]) {
                            fill();
                            const expected = bytes.slice().copyWithin(to, from, from + length);
                            copy(to, from, length);
                            if (Buffer.compare(bytes, expected)) throw new Error(`${length} bytes from ${from} to ${to}`);
                            count++;
                        }
                    }
                }
            }
            // up to the last byte, and not beyond it
            for (const length of [1, 2, 3, 4, 7, 8, 15, 16, 33, 64, 65]) {
                copy(0, end - length, length);
                copy(end - length, 0, length);
                for (const wrong of [() => copy(0, end - length + 1, length), () => copy(end - length + 1, 0, length)]) {
                    let trapped = false;
                    try { wrong(); } catch { trapped = true; }
                    if (!trapped) throw new Error(`${length} bytes beyond the end`);
                }
            }
            console.log(count);";
        let changed = bring_in(&module()).unwrap();
        let mut node = Command::new("node")
            .args(["-e", CHECK])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("node is installed");
        std::io::Write::write_all(&mut node.stdin.take().unwrap(), &changed).unwrap();
        let output = node.wait_with_output().unwrap();
        assert!(output.status.success());
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), (151 * 2 * 16 * 2).to_string());
    }
}
