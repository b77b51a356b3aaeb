//! Finds, compiles and inspects the .wasm under test. Compiling takes seconds, so a test binary does it once.

use std::path::{Path, PathBuf};

use wasmtime::{Config, Engine, Module, OptLevel};

/// A compiled module, cheap to clone.
#[derive(Clone)]
pub struct GuestModule {
    pub(crate) engine: Engine,
    pub(crate) module: Module,
    /// Whether its instructions are counted.
    pub(crate) counts: bool,
    /// Whether it tells of the code that runs.
    pub(crate) tells: bool,
}

impl GuestModule {
    /// Compiles the bytes of a .wasm (or the text of a .wat).
    ///
    /// # Errors
    /// Says why the bytes are no module.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        Self::compile(bytes, false)
    }

    /// Reads and compiles a module that tells of each function that is entered, by its number, with an import `env.entered`,
    /// and of each branch, by its condition and number, with `env.branch` ([`crate::Host::told`]).
    ///
    /// # Errors
    /// As [`Self::from_file`].
    pub fn telling(path: &Path) -> Result<Self, String> {
        Ok(Self { tells: true, ..Self::from_file(path)? })
    }

    /// Reads and compiles a file so that its instructions are counted ([`crate::Host::instructions`]).
    ///
    /// # Errors
    /// As [`Self::from_file`].
    pub fn counting(path: &Path) -> Result<Self, String> {
        Self::compile(&read(path)?, true)
    }

    fn compile(bytes: &[u8], counts: bool) -> Result<Self, String> {
        let mut config = Config::new();
        config.cranelift_opt_level(OptLevel::Speed).consume_fuel(counts);
        let engine = Engine::new(&config).map_err(|error| format!("wasmtime: {error:?}"))?;
        let module = Module::new(&engine, bytes).map_err(|error| format!("not a usable module: {error:?}"))?;
        Ok(Self { engine, module, counts, tells: false })
    }

    /// Reads and compiles a file.
    ///
    /// # Errors
    /// Names the file and, where it is missing, the command that builds it.
    pub fn from_file(path: &Path) -> Result<Self, String> {
        Self::from_bytes(&read(path)?).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Every import as `module name`, sorted: what the module can do to its host (threat 81).
    pub fn imports(&self) -> Vec<String> {
        let mut imports: Vec<_> =
            self.module.imports().map(|import| format!("{} {}", import.module(), import.name())).collect();
        imports.sort();
        imports
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path)
        .map_err(|error| format!("{}: {error}. Build the modules first: `cargo xtask build --crash`", path.display()))
}

/// Where the filter under test lies: `CARDED_WASM`, else `target/carded/carded.wasm` of the workspace.
pub fn filter_path() -> PathBuf {
    path_of("CARDED_WASM", "carded.wasm")
}

/// Where the filter that panics on request lies: `CARDED_WASM_CRASH`, else `target/carded/carded-crash.wasm`.
pub fn crash_filter_path() -> PathBuf {
    path_of("CARDED_WASM_CRASH", "carded-crash.wasm")
}

fn path_of(variable: &str, file: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return PathBuf::from(path);
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    workspace.join("target").join("carded").join(file)
}
