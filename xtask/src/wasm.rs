//! Reading a WebAssembly module, and writing it anew with something changed.

use std::collections::BTreeMap;
use std::convert::Infallible;

use anyhow::{Result, anyhow};
use wasm_encoder::Module;
use wasm_encoder::reencode::{self, Reencode};
use wasmparser::{KnownCustom, Name, Parser, Payload};

/// What the parts of a [`Reencode`] that cannot fail by themselves give.
pub(crate) type Encoded = Result<(), reencode::Error<Infallible>>;

/// The module, written anew in this way.
pub(crate) fn encode(how: &mut impl Reencode<Error = Infallible>, module: &[u8]) -> Result<Vec<u8>> {
    let mut encoded = Module::new();
    how.parse_core_module(&mut encoded, Parser::new(0), module).map_err(|error| anyhow!("{error}"))?;
    Ok(encoded.finish())
}

/// How many functions are imported, and how many there are with them.
pub(crate) fn functions(module: &[u8]) -> Result<(u32, u32)> {
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

#[cfg(test)]
mod tests {
    use super::symbol;

    #[test]
    fn symbols_lose_the_number_that_tells_them_apart() {
        let name = "_ZN1a1b17h0123456789abcdefE";
        assert_eq!(symbol(&format!("{name}_522")), name);
        assert_eq!(symbol("malloc_1"), "malloc_1");
    }
}
