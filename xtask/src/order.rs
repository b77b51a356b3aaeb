//! The order of the functions in the module, and which way its branches go.
//!
//! The functions that requests run through stand first, side by side: the code that a proxy's engine makes of them then lies in a
//! few pages, which it finds again in the processor's caches, where it else is strewn over all of it. And of each branch in them
//! that always went one way the module says so (the custom section `metadata.code.branch_hint` of the Branch Hinting proposal): V8
//! then puts the code on the other side out of the way.
//!
//! Which they are says `filter/order.txt`, which `cargo xtask build --order` writes: it has requests of each kind run through a
//! copy of the module that tells its host of each function that is entered and of each branch. Each line is the name of a function
//! and, where it has hints, after a tab a sign for each of its branches ([`hints::signs`]). A name that is no longer there does no
//! harm, nor does a hint that is wrong: the request then takes the longer way.

mod hints;
mod placing;
mod telling;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::modules;
use crate::wasm::names;
use crate::workspace::{Workspace, read};

/// Where fewer than this are found of the functions that the list names, or of those that it has hints for, out of a hundred,
/// it should be written again.
const CURRENT: usize = 90;

/// Writes the list anew.
pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    let named = modules::named_filter(workspace)?;
    let copy = workspace.cargo_target.join("optimized/telling.wasm");
    std::fs::write(&copy, telling::tell(&named)?)?;
    let mut host = workspace.cargo();
    host.args(["run", "--quiet", "-p", "carded-wasm-host", "--example", "instruction_cost", "--"]);
    let told = String::from_utf8(read(host.arg(copy).arg("--told"))?)?;
    let (lines, hints) = lines(&named, &told)?;
    let list = list(workspace);
    std::fs::write(&list, lines.join("\n") + "\n")?;
    println!("{}: {} functions, {hints} hints", list.display(), lines.len());
    Ok(())
}

/// The lines of the list, from what a copy of the module told, and how many hints are in them. What is told is the number of a
/// function in each line, or the number of a branch, how often its condition was false, and how often true.
fn lines(named: &[u8], told: &str) -> Result<(Vec<String>, usize)> {
    let mut entered = Vec::new();
    let mut went = BTreeMap::new();
    for line in told.lines() {
        let numbers = line.split(' ').map(str::parse).collect::<Result<Vec<u64>, _>>()?;
        match *numbers {
            [function] => entered.push(u32::try_from(function)?),
            [branch, never, always] => {
                went.insert(branch, [never, always]);
            }
            _ => anyhow::bail!("the module told {line}"),
        }
    }
    let names = names(named)?;
    // functions of one name (there is one for each type that it is generic over) are told apart by how many branches they have;
    // those that are not are taken as one
    let mut alike = BTreeMap::<_, Vec<hints::Went>>::new();
    let (mut number, mut kinds) = (0, BTreeMap::new());
    for (function, branches) in hints::branches(named)? {
        let name = names.get(&function).map_or("", String::as_str);
        kinds.insert(function, (name, branches.len()));
        let sums = alike.entry((name, branches.len())).or_insert_with(|| vec![[0; 2]; branches.len()]);
        for (sum, branch) in sums.iter_mut().zip(number..) {
            let [never, always] = went.get(&branch).copied().unwrap_or_default();
            *sum = [sum[0] + never, sum[1] + always];
        }
        number += branches.len() as u64;
    }
    let (mut lines, mut seen, mut hints) = (Vec::new(), BTreeSet::new(), 0);
    for kind in entered.iter().filter_map(|function| kinds.get(function)) {
        let (name, _) = kind;
        // what `wasm-opt` made by itself has a number for a name, which is another one the next time
        if name.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let signs = hints::signs(alike.get(kind).map_or(&[], Vec::as_slice));
        let count = signs.matches(|sign| sign != '.').count();
        let line = if count == 0 { (*name).to_owned() } else { format!("{name}\t{signs}") };
        if seen.insert(kind) && !lines.contains(&line) {
            hints += count;
            lines.push(line);
        }
    }
    Ok((lines, hints))
}

/// The module with the functions of the list first, with its hints, and without any other custom section.
pub(crate) fn put(workspace: &Workspace, module: &[u8]) -> Result<Vec<u8>> {
    let list = std::fs::read_to_string(list(workspace)).context("filter/order.txt")?;
    let (module, missing) = put_list(&list, module)?;
    if missing * 100 > list.lines().count() * (100 - CURRENT) {
        println!(
            "{missing} of {} functions of the list are not as they were: `cargo xtask build --order` looks for them anew",
            list.lines().count()
        );
    }
    Ok(module)
}

/// As [`put`], and how many lines of the list have no function.
fn put_list(list: &str, module: &[u8]) -> Result<(Vec<u8>, usize)> {
    let lines: Vec<_> = list.lines().map(|line| line.split_once('\t').unwrap_or((line, ""))).collect();
    let mut ranks = BTreeMap::new();
    for ((name, _), rank) in lines.iter().zip(0..) {
        ranks.entry(*name).or_insert(rank);
    }
    let names = names(module)?;
    let rank = |function: u32| ranks.get(names.get(&function)?.as_str()).copied();
    let (ordered, places) = placing::in_order(module, |function| rank(function).unwrap_or(usize::MAX))?;
    let moved: BTreeMap<_, _> =
        names.iter().filter_map(|(old, name)| Some((*places.get(*old as usize)?, name.as_str()))).collect();

    let signs: BTreeMap<_, _> = lines.iter().map(|(name, signs)| ((*name, signs.len()), *signs)).collect();
    let (mut found, mut of_functions) = (BTreeSet::new(), BTreeMap::new());
    for (function, branches) in hints::branches(&ordered)? {
        let Some(name) = moved.get(&function) else { continue };
        found.extend([(*name, 0), (*name, branches.len())]);
        if let Some(signs) = signs.get(&(*name, branches.len())) {
            of_functions.insert(function, (branches, *signs));
        }
    }
    let missing = lines.iter().filter(|(name, signs)| !found.contains(&(*name, signs.len()))).count();
    Ok((hints::put(&ordered, &of_functions)?, missing))
}

fn list(workspace: &Workspace) -> PathBuf {
    workspace.root.join("filter/order.txt")
}
