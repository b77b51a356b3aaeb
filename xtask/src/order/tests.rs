use wasm_encoder::{
    BlockType, CodeSection, EntityType, ExportKind, ExportSection, Function, FunctionSection, ImportSection,
    Instruction, Module, NameMap, NameSection, TypeSection, ValType,
};
use wasmparser::{KnownCustom, Operator, Parser, Payload};

use super::*;

/// Functions that give 0, 1, 2 …, each exported under its number, and one more that calls each of them; there is an import
/// before them all.
fn module(count: u32) -> Vec<u8> {
    let (mut types, mut imports, mut functions) = (TypeSection::new(), ImportSection::new(), FunctionSection::new());
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
        .map(|function| match body(function).iter().find(|operator| matches!(operator, Operator::I32Const { .. })) {
            Some(Operator::I32Const { value }) => *value,
            _ => -1,
        })
        .collect()
}

#[test]
fn functions_stand_in_another_order_and_are_the_same() {
    let module = module(200);
    let (before, _) = read(&module);
    let (ordered, places) = placing::in_order(&module, |function| 1000 - function as usize).unwrap();
    let (exports, bodies) = read(&ordered);
    assert_eq!(bodies.len(), 201);
    assert!(exports.iter().all(|(name, function)| *function == places[before[name] as usize]));
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
    let told = telling::tell(&module(3)).unwrap();
    let (exports, bodies) = read(&told);
    for (number, body) in (1..).zip(&bodies) {
        assert!(matches!(body[0], Operator::I32Const { value } if value == number), "{body:?}");
        assert!(matches!(body[1], Operator::Call { function_index: 1 }), "{body:?}");
    }
    assert_eq!(exports["0"], 3);
    assert_eq!(called(&exports, &bodies, 3), [1, 2, 3]);
}

/// A function of two branches, the second within the first, then one without any, then again the first, under these names; an
/// import is before them.
fn branching(names: [&str; 3]) -> Vec<u8> {
    let (mut types, mut imports, mut functions, mut code) =
        (TypeSection::new(), ImportSection::new(), FunctionSection::new(), CodeSection::new());
    types.ty().function([ValType::I32], []);
    imports.import("env", "f", EntityType::Function(0));
    let mut naming = NameMap::new();
    for (number, name) in (1..).zip(names) {
        functions.function(0);
        naming.append(number, name);
        let mut function = Function::new([]);
        if number != 2 {
            function
                .instruction(&Instruction::LocalGet(0))
                .instruction(&Instruction::If(BlockType::Empty))
                .instruction(&Instruction::LocalGet(0))
                .instruction(&Instruction::BrIf(0))
                .instruction(&Instruction::End);
        }
        function.instruction(&Instruction::End);
        code.function(&function);
    }
    let mut named = NameSection::new();
    named.functions(&naming);
    let mut module = Module::new();
    module.section(&types).section(&imports).section(&functions).section(&code).section(&named);
    module.finish()
}

/// The hints of a module: the function, what its branch is, and whether it is taken.
fn hints_in(module: &[u8]) -> Vec<(u32, String, bool)> {
    let (mut hints, mut bodies) = (Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(module) {
        match payload.unwrap() {
            Payload::CustomSection(section) => {
                assert!(bodies.is_empty(), "hints stand before the code");
                let KnownCustom::BranchHints(functions) = section.as_known() else { panic!("{}", section.name()) };
                for function in functions {
                    let function = function.unwrap();
                    hints.extend(function.hints.into_iter().map(|hint| (function.func, hint.unwrap())));
                }
            }
            Payload::CodeSectionEntry(body) => bodies.push(body),
            _ => {}
        }
    }
    let what = |function: u32, at: u32| {
        let body = &bodies[function as usize - 1];
        let mut operators = body.get_operators_reader().unwrap().into_iter_with_offsets().map(Result::unwrap);
        let found = operators.find(|(_, offset)| offset - body.range().start == at as usize);
        format!("{:?}", found.unwrap().0)
    };
    hints.into_iter().map(|(function, hint)| (function, what(function, hint.func_offset), hint.taken)).collect()
}

#[test]
fn a_copy_tells_of_each_branch() {
    let told = telling::tell(&branching(["a", "b", "c"])).unwrap();
    let (_, bodies) = read(&told);
    let numbers: Vec<_> = bodies
        .iter()
        .flat_map(|body| body.windows(3))
        .filter_map(|three| match three {
            [
                Operator::I32Const { value },
                Operator::Call { function_index: 2 },
                Operator::If { .. } | Operator::BrIf { .. },
            ] => Some(*value),
            _ => None,
        })
        .collect();
    assert_eq!(numbers, [0, 1, 2, 3]);
}

#[test]
fn what_is_told_becomes_lines() {
    let module = branching(["a", "b", "c"]);
    // the second function has no branch; the first branch of the third goes both ways
    let told = "3\n1\n2\n0 0 7\n1 9 0\n2 1 1\n3 0 4";
    let (found, hints) = lines(&module, told).unwrap();
    assert_eq!((found, hints), (vec!["c\t.1".to_owned(), "a\t10".to_owned(), "b".to_owned()], 3));
    // two of one name with as many branches are as one; a function that only has a number is left out
    let (found, hints) = lines(&branching(["a", "7", "a"]), told).unwrap();
    assert_eq!((found, hints), (vec!["a".to_owned()], 0));
    assert!(lines(&module, "1 2").is_err());
}

#[test]
fn hints_stand_at_the_branches_of_the_list() {
    let module = branching(["a", "b", "c"]);
    let (put, missing) = put_list("c\t.1\na\t10\nb\n", &module).unwrap();
    assert_eq!(missing, 0);
    // functions have moved: `c` is the first
    let branch = |taken: bool| ("BrIf { relative_depth: 0 }".to_owned(), taken);
    let found: Vec<_> = hints_in(&put).into_iter().map(|(function, what, taken)| (function, (what, taken))).collect();
    assert_eq!(found[0], (1, branch(true)));
    assert!(found[1].0 == 2 && found[1].1.0.starts_with("If") && found[1].1.1);
    assert_eq!(found[2..], [(2, branch(false))]);
    // a function that has another number of branches, and one that is gone
    let (put, missing) = put_list("a\t1\nd\t10\nb\n", &module).unwrap();
    assert_eq!((hints_in(&put), missing), (vec![], 2));
}
