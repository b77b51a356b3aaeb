//! `cargo xtask build --weights`: what each part of the module weighs.

use std::collections::BTreeMap;

use anyhow::Result;
use wasmparser::{Parser, Payload};

use crate::wasm;

/// Parts that weigh less than this are summed up in one line.
const LEAST: usize = 4_000;

/// A module's size by crate, heaviest first, as a Markdown table. The module must have the names of its functions.
pub(crate) fn table(module: &[u8], shipped: usize) -> Result<String> {
    let mut parts: Vec<(String, usize)> = parts(module)?.into_iter().collect();
    parts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let named: usize = parts.iter().map(|(_, size)| size).sum();
    let (heavy, light): (Vec<_>, Vec<_>) = parts.into_iter().partition(|(_, size)| *size >= LEAST);
    let mut text = format!("| part of carded.wasm ({shipped} bytes) | bytes |\n|---|---:|\n");
    for (name, size) in heavy {
        text += &format!("| {name} | {size} |\n");
    }
    let light_size: usize = light.iter().map(|(_, size)| size).sum();
    text += &format!("| {} smaller ones | {light_size} |\n", light.len());
    text += &format!("| tables of types, imports, exports and elements | {} |\n", shipped.saturating_sub(named));
    Ok(text)
}

/// The bytes of code by crate, and of data.
fn parts(module: &[u8]) -> Result<BTreeMap<String, usize>> {
    let mut imported = 0_u32;
    let mut sizes = Vec::new();
    let names = wasm::names(module)?;
    let mut parts: BTreeMap<String, usize> = BTreeMap::new();
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    imported += u32::from(matches!(import?.ty, wasmparser::TypeRef::Func(_)));
                }
            }
            Payload::CodeSectionEntry(body) => sizes.push(body.range().len()),
            Payload::DataSection(section) => {
                parts.insert("data: texts and tables".to_owned(), section.range().len());
            }
            _ => {}
        }
    }
    for (index, size) in (imported..).zip(sizes) {
        let name = names.get(&index).map_or("", String::as_str);
        *parts.entry(part_of(name)).or_default() += size;
    }
    Ok(parts)
}

/// The crate that a function is of: the first one in its path, and that of the type for a method of a foreign trait.
fn part_of(path: &str) -> String {
    let mut words = path.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let found = words.find(|word| !word.is_empty() && !matches!(*word, "as" | "dyn" | "mut" | "impl"));
    match found {
        Some(one) if path.contains("::") => {
            let library = matches!(one, "core" | "alloc" | "std" | "hashbrown" | "__rustc" | "dlmalloc");
            if library { "Rust's own library".to_owned() } else { format!("`{one}`") }
        }
        _ => "allocator, start and callbacks".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::part_of;

    #[test]
    fn functions_belong_to_crates() {
        for (path, part) in [
            ("carded_filter::host::worker::Worker::settle", "`carded_filter`"),
            ("<alloc::string::String>::push", "Rust's own library"),
            ("<p256::Scalar as core::ops::Mul>::mul", "`p256`"),
            ("proxy_on_tick", "allocator, start and callbacks"),
            ("", "allocator, start and callbacks"),
        ] {
            assert_eq!(part_of(path), part, "{path}");
        }
    }
}
