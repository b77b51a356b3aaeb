//! `cargo xtask build`: the WebAssembly modules, from cargo's output to where operators and tests look for them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use wasm_bindgen_cli_support::Bindgen;

use crate::copies;
use crate::npm;
use crate::order;
use crate::weigh;
use crate::workspace::{Workspace, human_size, module_size, read, run, write_if_changed};

/// The target of the filter.
pub(crate) const WASI: &str = "wasm32-wasip1";
/// The target of the browser's verifier.
pub(crate) const BROWSER: &str = "wasm32-unknown-unknown";

/// Installs the standard library of a target where it is missing. `rust-toolchain.toml` names the targets, but rustup brings
/// them by itself only with a toolchain that it installs.
pub(crate) fn ensure_target(workspace: &Workspace, target: &str) -> Result<()> {
    let output = workspace.command("rustc").args(["--print", "target-libdir", "--target", target]).output();
    let there = output.is_ok_and(|output| {
        let path = String::from_utf8_lossy(&output.stdout);
        output.status.success() && Path::new(path.trim()).is_dir()
    });
    if there {
        return Ok(());
    }
    println!("installing the target {target} with rustup");
    run(workspace.command("rustup").args(["target", "add", target]))
        .with_context(|| format!("the target {target} is missing: install it with `rustup target add {target}`"))
}

/// Builds the filter that operators run into `target/carded/carded.wasm`.
pub(crate) fn build_filter(workspace: &Workspace) -> Result<()> {
    publish(workspace, &order::put(workspace, &named_filter(workspace)?)?, "carded.wasm")
}

/// The filter with the names of its functions.
pub(crate) fn named_filter(workspace: &Workspace) -> Result<Vec<u8>> {
    ensure_target(workspace, WASI)?;
    run(build_for_wasi(workspace)?.args(["-p", "carded-filter", "--lib", "--profile", "wasm"]))?;
    let built = workspace.cargo_target.join("wasm32-wasip1/wasm/carded_filter.wasm");
    copies::bring_in(&std::fs::read(optimize(workspace, &built, "carded.wasm", &NOT_CALLED, &["-g"])?)?)
}

/// `cargo build` for the filter's target. Panics name files: not where they lie on this machine, so that the module is the same
/// wherever it is built, and smaller.
fn build_for_wasi(workspace: &Workspace) -> Result<Command> {
    let mut names = vec![(workspace.root.join(""), String::new())];
    // each registry has a folder of its own there
    let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo_home = cargo_home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    if let Some(registries) = cargo_home.and_then(|home| std::fs::read_dir(home.join("registry/src")).ok()) {
        names.extend(registries.flatten().map(|registry| (registry.path().join(""), String::new())));
    }
    names.sort();
    // the standard library has this name, but where its sources are installed
    let version = String::from_utf8(read(workspace.command("rustc").arg("-vV"))?)?;
    if let Some(commit) = version.lines().find_map(|line| line.strip_prefix("commit-hash: ")) {
        let sysroot = String::from_utf8(read(workspace.command("rustc").args(["--print", "sysroot"]))?)?;
        names.push((Path::new(sysroot.trim()).join("lib/rustlib/src/rust/"), format!("/rustc/{commit}/")));
    }
    let mut flags: Vec<_> =
        names.iter().map(|(folder, name)| format!("'--remap-path-prefix={}={name}'", folder.display())).collect();
    // hashes in loops rather than rolled out: the room serves requests better elsewhere
    flags.push("'--cfg=sha2_backend_soft=\"compact\"'".to_owned());
    // sixteen bytes at once: base64, and what the compiler finds
    flags.push("'-Ctarget-feature=+simd128'".to_owned());
    let mut command = workspace.cargo();
    command.args(["build", "--target", WASI, "--config"]);
    command.arg(format!("target.{WASI}.rustflags=[{}]", flags.join(",")));
    Ok(command)
}

/// Prints what each part of the module weighs.
pub(crate) fn weigh(workspace: &Workspace) -> Result<()> {
    let shipped = std::fs::metadata(workspace.carded().join("carded.wasm"))?.len();
    println!("\n{}", weigh::table(&named_filter(workspace)?, usize::try_from(shipped)?)?);
    Ok(())
}

/// Callbacks that the SDK exports and the filter has no use for. A proxy calls whatever is exported, for each request, so
/// what is not there costs nothing; and the code behind it goes as well.
const NOT_CALLED: [&str; 9] = [
    "proxy_on_done",
    "proxy_on_downstream_*",
    "proxy_on_foreign_function",
    "proxy_on_grpc_*",
    "proxy_on_log",
    "proxy_on_new_connection",
    "proxy_on_response_body",
    "proxy_on_response_trailers",
    "proxy_on_upstream_*",
];

/// Builds the filter that does nothing, as the benchmarks load it, into `target/carded/empty.wasm`, the same way.
pub(crate) fn build_empty_filter(workspace: &Workspace) -> Result<()> {
    ensure_target(workspace, WASI)?;
    run(build_for_wasi(workspace)?.args(["-p", "carded-empty-filter", "--profile", "wasm"]))?;
    let built = workspace.cargo_target.join("wasm32-wasip1/wasm/carded_empty_filter.wasm");
    let small = optimize(workspace, &built, "empty.wasm", &[], &STRIP)?;
    publish(workspace, &copies::bring_in(&std::fs::read(small)?)?, "empty.wasm")
}

/// Nothing in the module that only people read.
const STRIP: [&str; 3] = ["--strip-debug", "--strip-producers", "--strip-target-features"];

/// Makes a module smaller with Binaryen's `wasm-opt`. It takes a minute, so an unchanged module is not done again: what was
/// made is kept under this name below `optimized/`. These exports (a `*` at the end stands for any rest) go.
fn optimize(workspace: &Workspace, built: &Path, name: &str, not_called: &[&str], names: &[&str]) -> Result<PathBuf> {
    // what the compiler was allowed to use; nothing else is to appear in the module
    const FEATURES: [&str; 7] = [
        "--enable-bulk-memory",
        "--enable-sign-ext",
        "--enable-mutable-globals",
        "--enable-nontrapping-float-to-int",
        "--enable-reference-types",
        "--enable-multivalue",
        "--enable-simd",
    ];
    let tools = npm::install(workspace, "xtask/npm", "build-tools")?;
    let folder = workspace.cargo_target.join("optimized");
    std::fs::create_dir_all(&folder)?;
    let (small, seen) = (folder.join(name), folder.join(name).with_extension("input"));
    let removed = format!("--pass-arg=remove-exports@{}", not_called.join(","));
    let mut options = Vec::new();
    if !not_called.is_empty() {
        options.extend(["--remove-exports", &removed]);
    }
    // no data lies in the first kilobyte: the stack is there; what the first pass leaves, the second makes smaller still. What
    // is called in one place moves there, but no function grows so large that what a request needs of it lies far apart; nor does
    // a function stay one that is hardly more than a call of another
    options.extend(["-Oz", "-Oz", "--low-memory-unused", "--one-caller-inline-max-function-size=1000"]);
    options.push("--always-inline-max-function-size=4");
    options.extend(names);
    options.extend(FEATURES);
    let mut input = std::fs::read(built).with_context(|| format!("cannot read {}", built.display()))?;
    input.extend(std::fs::read(workspace.root.join("xtask/npm/package-lock.json"))?);
    input.extend(options.join(" ").into_bytes());
    if small.is_file() && std::fs::read(&seen).is_ok_and(|before| before == input) {
        return Ok(small);
    }
    run(Command::new("node")
        .arg(tools.join("node_modules/binaryen/bin/wasm-opt"))
        .arg(built)
        .args(&options)
        .arg("-o")
        .arg(&small))?;
    std::fs::write(seen, input)?;
    Ok(small)
}

/// Builds the filter that panics when a request asks it to, for the crash tests, into `target/carded/carded-crash.wasm`.
pub(crate) fn build_crash(workspace: &Workspace) -> Result<()> {
    ensure_target(workspace, WASI)?;
    // A target folder of its own: cargo gives a cdylib the same file name whatever its features are, so that in a shared
    // folder the module for tests could be taken for the one that operators run.
    let target = workspace.cargo_target.join("crash");
    run(workspace
        .cargo()
        .args(["build", "-p", "carded-filter", "--lib", "--features", "crash-test", "--release"])
        .args(["--target", "wasm32-wasip1", "--target-dir"])
        .arg(&target))?;
    publish(workspace, &std::fs::read(target.join("wasm32-wasip1/release/carded_filter.wasm"))?, "carded-crash.wasm")
}

/// Builds the browser's verifier and its page into `target/carded/web/`. Modules for browsers travel compressed, and
/// `wasm-opt` makes that larger (the wallet's by 4 %, where the module itself shrinks by 9 %): they stay as they are.
pub(crate) fn build_web(workspace: &Workspace) -> Result<()> {
    ensure_target(workspace, BROWSER)?;
    run(workspace.cargo().args([
        "build",
        "-p",
        "carded-web",
        "--lib",
        "--profile",
        "wasm",
        "--target",
        "wasm32-unknown-unknown",
    ]))?;
    let module = workspace.cargo_target.join("wasm32-unknown-unknown/wasm/carded_web.wasm");
    let out = workspace.carded().join("web");
    // the library behind the `wasm-bindgen` command, pinned to the same version: no installed tool can be of another one
    Bindgen::new()
        .input_path(&module)
        .web(true)?
        .typescript(true)
        .omit_default_module_path(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .out_name("carded")
        .generate(&out)
        .context("wasm-bindgen cannot read the module")?;
    for page in pages(&workspace.root.join("web/pages"))? {
        let name = page.file_name().context("a page has a name")?;
        write_if_changed(&out.join(name), &std::fs::read(&page)?)?;
    }
    println!("target/carded/web/ ({})", module_size(&out.join("carded_bg.wasm"))?);
    Ok(())
}

/// The files of the page, in a stable order.
fn pages(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut pages = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_file() {
            pages.push(path);
        }
    }
    pages.sort();
    Ok(pages)
}

fn publish(workspace: &Workspace, module: &[u8], name: &str) -> Result<()> {
    write_if_changed(&workspace.carded().join(name), module)?;
    println!("target/carded/{name} ({})", human_size(module.len()));
    Ok(())
}
