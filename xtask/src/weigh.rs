//! `cargo xtask build --weights`: what each part of the module weighs.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use wasmparser::{KnownCustom, Name, Parser, Payload};

/// Parts that weigh less than this are summed up in one line.
const LEAST: usize = 4_000;

/// A module's size by crate, heaviest first, as a Markdown table. The module must have the names of its functions.
pub(crate) fn table(module: &Path, shipped: usize) -> Result<String> {
    let bytes = std::fs::read(module).with_context(|| format!("cannot read {}", module.display()))?;
    let mut parts: Vec<(String, usize)> = parts(&bytes)?.into_iter().collect();
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
    let mut names: BTreeMap<u32, String> = BTreeMap::new();
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
            Payload::CustomSection(section) => {
                if let KnownCustom::Name(reader) = section.as_known() {
                    for subsection in reader {
                        if let Name::Function(map) = subsection? {
                            for naming in map {
                                let naming = naming?;
                                names.insert(naming.index, naming.name.to_owned());
                            }
                        }
                    }
                }
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
fn part_of(symbol: &str) -> String {
    let path = format!("{:#}", rustc_demangle::demangle(symbol));
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
        for (symbol, part) in [
            ("_ZN13carded_filter4host6worker6Worker6settle17h6407d4aa3aad670fE", "`carded_filter`"),
            ("_RNvMNtCsi9YzqDQQz2q_5alloc6stringNtB2_6String4push", "Rust's own library"),
            ("_ZN47_$LT$p256..Scalar$u20$as$u20$core..ops..Mul$GT$3mul17h6407d4aa3aad670fE", "`p256`"),
            ("proxy_on_tick", "allocator, start and callbacks"),
            ("", "allocator, start and callbacks"),
        ] {
            assert_eq!(part_of(symbol), part, "{symbol}");
        }
    }
}
