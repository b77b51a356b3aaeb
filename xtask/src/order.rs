//! The order of the functions in the module. Those that requests run through stand first, side by side: the code that a proxy's engine
//! makes of them then lies in a few pages, which it finds again in the processor's caches, where it else is strewn over all of it.
//!
//! Which they are says `filter/order.txt`, which `cargo xtask build --order` writes: it has requests of each kind run
//! through a copy of the module that tells its host of each function that is entered. A name in it that is no longer there does no harm.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{
    CodeSection, EntityType, FunctionSection, ImportSection, Instruction, Module, TypeSection, ValType,
};
use wasmparser::{
    CodeSectionReader, FunctionBody, FunctionSectionReader, KnownCustom, Name, Operator, Parser, Payload,
};

use crate::modules;
use crate::workspace::{Workspace, read};

/// Where fewer of the names than this are found, out of a hundred, the list should be written again.
const CURRENT: usize = 90;

/// Writes the list anew.
pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    let named = std::fs::read(modules::named_filter(workspace)?)?;
    let telling = workspace.cargo_target.join("optimized/telling.wasm");
    std::fs::write(&telling, tell(&named)?)?;
    let mut host = workspace.cargo();
    host.args(["run", "--quiet", "-p", "carded-wasm-host", "--example", "instruction_cost", "--"]);
    let entered = String::from_utf8(read(host.arg(telling).arg("--entered"))?)?;
    let names = names(&named)?;
    let mut first: Vec<&str> = Vec::new();
    for number in entered.lines() {
        // what `wasm-opt` made by itself has a number for a name, which is another one the next time
        let name = names.get(&number.parse()?).filter(|name| !name.bytes().all(|byte| byte.is_ascii_digit()));
        first.extend(name.map(String::as_str).filter(|name| !first.contains(name)));
    }
    let list = list(workspace);
    std::fs::write(&list, first.join("\n") + "\n")?;
    println!("{}: {} functions", list.display(), first.len());
    Ok(())
}

/// The module with the functions of the list first, and without its custom sections.
pub(crate) fn put(workspace: &Workspace, module: &[u8]) -> Result<Vec<u8>> {
    let list = std::fs::read_to_string(list(workspace)).context("filter/order.txt")?;
    let ranks: BTreeMap<&str, usize> = list.lines().zip(0..).collect();
    let names = names(module)?;
    let found: std::collections::BTreeSet<_> = names.values().filter_map(|name| ranks.get(name.as_str())).collect();
    if found.len() * 100 < ranks.len() * CURRENT {
        println!(
            "{} of {} functions that stand first are there: `cargo xtask build --order` looks for them anew",
            found.len(),
            ranks.len()
        );
    }
    let rank = |function: u32| names.get(&function).and_then(|name| ranks.get(name.as_str())).copied();
    in_order(module, |function| rank(function).unwrap_or(usize::MAX))
}

/// The module with its functions ordered by their rank, those of the same rank as they stood. Before all others are those that
/// are called in most places, as many as have a number of one byte (LEB128), which is what each of the calls then takes.
fn in_order(module: &[u8], rank: impl Fn(u32) -> usize) -> Result<Vec<u8>> {
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
    encode(&mut Ordered { places, order }, module)
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

/// The module with an import `env.entered`, which each function calls with its number as the first thing.
fn tell(module: &[u8]) -> Result<Vec<u8>> {
    let (imported, _) = functions(module)?;
    encode(&mut Telling { imported, next: imported, kind: 0 }, module)
}

fn list(workspace: &Workspace) -> PathBuf {
    workspace.root.join("filter/order.txt")
}

fn encode(how: &mut impl Reencode<Error = Infallible>, module: &[u8]) -> Result<Vec<u8>> {
    let mut encoded = Module::new();
    how.parse_core_module(&mut encoded, Parser::new(0), module).map_err(|error| anyhow!("{error}"))?;
    Ok(encoded.finish())
}

/// How many functions are imported, and how many there are with them.
fn functions(module: &[u8]) -> Result<(u32, u32)> {
    let (mut imported, mut own) = (0, 0);
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    imported += u32::from(matches!(import?.ty, wasmparser::TypeRef::Func(_)));
                }
            }
            Payload::FunctionSection(section) => own = section.count(),
            _ => {}
        }
    }
    Ok((imported, imported + own))
}

/// The names of functions by their numbers, as the source has them (without what tells compilations apart).
pub(crate) fn names(module: &[u8]) -> Result<BTreeMap<u32, String>> {
    let mut names = BTreeMap::new();
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::CustomSection(section) = payload?
            && let KnownCustom::Name(reader) = section.as_known()
        {
            for subsection in reader {
                if let Name::Function(map) = subsection? {
                    for naming in map {
                        let naming = naming?;
                        names.insert(naming.index, format!("{:#}", rustc_demangle::demangle(symbol(naming.name))));
                    }
                }
            }
        }
    }
    Ok(names)
}

/// The symbol without the number by which `wasm-opt` tells two of the same name apart.
fn symbol(name: &str) -> &str {
    match name.rsplit_once('_') {
        Some((symbol, number)) if symbol.ends_with('E') && number.bytes().all(|byte| byte.is_ascii_digit()) => symbol,
        _ => name,
    }
}

type Encoded = Result<(), reencode::Error<Infallible>>;

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

struct Telling {
    imported: u32,
    /// The number of the function that comes next.
    next: u32,
    /// The type of a function that takes a number.
    kind: u32,
}

impl Reencode for Telling {
    type Error = Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, reencode::Error<Infallible>> {
        Ok(if function < self.imported { function } else { function + 1 })
    }

    fn parse_type_section(&mut self, types: &mut TypeSection, section: wasmparser::TypeSectionReader<'_>) -> Encoded {
        reencode::utils::parse_type_section(self, types, section)?;
        self.kind = types.len();
        types.ty().function([ValType::I32], []);
        Ok(())
    }

    fn parse_import_section(
        &mut self,
        imports: &mut ImportSection,
        section: wasmparser::ImportSectionReader<'_>,
    ) -> Encoded {
        reencode::utils::parse_import_section(self, imports, section)?;
        imports.import("env", "entered", EntityType::Function(self.kind));
        Ok(())
    }

    fn parse_function_body(&mut self, code: &mut CodeSection, body: FunctionBody<'_>) -> Encoded {
        let mut function = self.new_function_with_parsed_locals(&body)?;
        function.instruction(&Instruction::I32Const(self.next.cast_signed()));
        function.instruction(&Instruction::Call(self.imported));
        self.next += 1;
        let mut reader = body.get_operators_reader()?;
        while !reader.eof() {
            function.instruction(&self.parse_instruction(&mut reader)?);
        }
        code.function(&function);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_encoder::{ExportKind, ExportSection, Function};
    use wasmparser::Operator;

    /// Functions that give 0, 1, 2 …, each exported under its number, and one more that calls each of them; there is an import
    /// before them all.
    fn module(count: u32) -> Vec<u8> {
        let (mut types, mut imports, mut functions) =
            (TypeSection::new(), ImportSection::new(), FunctionSection::new());
        let (mut exports, mut code) = (ExportSection::new(), CodeSection::new());
        types.ty().function([], [ValType::I32]);
        imports.import("env", "f", EntityType::Function(0));
        let mut caller = Function::new([]);
        for number in 0..count {
            functions.function(0);
            exports.export(&number.to_string(), ExportKind::Func, number + 1);
            let mut function = Function::new([]);
            function.instruction(&Instruction::I32Const(number.cast_signed())).instruction(&Instruction::End);
            code.function(&function);
            caller.instruction(&Instruction::Call(number + 1)).instruction(&Instruction::Drop);
        }
        functions.function(0);
        exports.export("caller", ExportKind::Func, count + 1);
        caller.instruction(&Instruction::Call(0)).instruction(&Instruction::End);
        code.function(&caller);
        let mut module = Module::new();
        module.section(&types).section(&imports).section(&functions).section(&exports).section(&code);
        module.finish()
    }

    /// The numbers of exported functions by their names, and the bodies of the module's own functions.
    fn read(module: &[u8]) -> (BTreeMap<String, u32>, Vec<Vec<Operator<'_>>>) {
        let (mut exports, mut bodies) = (BTreeMap::new(), Vec::new());
        for payload in Parser::new(0).parse_all(module) {
            match payload.unwrap() {
                Payload::ExportSection(section) => {
                    exports.extend(section.into_iter().map(|export| {
                        let export = export.unwrap();
                        (export.name.to_owned(), export.index)
                    }));
                }
                Payload::CodeSectionEntry(body) => {
                    let operators = body.get_operators_reader().unwrap().into_iter();
                    bodies.push(operators.collect::<Result<_, _>>().unwrap());
                }
                _ => {}
            }
        }
        (exports, bodies)
    }

    /// What the functions give that the caller calls, in order.
    fn called(exports: &BTreeMap<String, u32>, bodies: &[Vec<Operator<'_>>], before: usize) -> Vec<i32> {
        let body = |function: u32| &bodies[function as usize - before];
        let calls = body(exports["caller"]).iter().filter_map(|operator| match operator {
            Operator::Call { function_index } if *function_index as usize >= before => Some(*function_index),
            _ => None,
        });
        calls
            .map(|function| {
                match body(function).iter().find(|operator| matches!(operator, Operator::I32Const { .. })) {
                    Some(Operator::I32Const { value }) => *value,
                    _ => -1,
                }
            })
            .collect()
    }

    #[test]
    fn functions_stand_in_another_order_and_are_the_same() {
        let module = module(200);
        let ordered = in_order(&module, |function| 1000 - function as usize).unwrap();
        let (exports, bodies) = read(&ordered);
        assert_eq!(bodies.len(), 201);
        for (name, function) in exports.iter().filter(|(name, _)| *name != "caller") {
            let number: i32 = name.parse().unwrap();
            let body = &bodies[*function as usize - 1];
            assert!(matches!(body[0], Operator::I32Const { value } if value == number), "{name}");
        }
        assert_eq!(called(&exports, &bodies, 1), (0..200).collect::<Vec<_>>());
        // as many as have a short number stand first, the others in the order of their ranks
        assert_eq!(exports["caller"], 128);
        assert!(exports["199"] < exports["150"] && exports["150"] < exports["130"]);
    }

    #[test]
    fn a_copy_tells_of_each_function_first() {
        let told = tell(&module(3)).unwrap();
        let (exports, bodies) = read(&told);
        for (number, body) in (1..).zip(&bodies) {
            assert!(matches!(body[0], Operator::I32Const { value } if value == number), "{body:?}");
            assert!(matches!(body[1], Operator::Call { function_index: 1 }), "{body:?}");
        }
        assert_eq!(exports["0"], 2);
        assert_eq!(called(&exports, &bodies, 2), [1, 2, 3].map(|number| number));
    }

    #[test]
    fn symbols_lose_the_number_that_tells_them_apart() {
        for (name, plain) in
            [("_ZN1a1b17h0123456789abcdefE_522", "_ZN1a1b17h0123456789abcdefE"), ("malloc_1", "malloc_1")]
        {
            assert_eq!(symbol(name), plain);
        }
    }
}
