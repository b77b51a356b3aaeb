//! The public vectors of standards bodies, read from where `CARDED_VECTORS` says (by default `shared/vectors` beside the
//! project). Where they are absent a test says so; with `CARDED_REQUIRE_VECTORS=1` it fails.
use std::path::PathBuf;

/// The folder of that name. `None`, said on standard error, where the vectors are absent.
pub(crate) fn folder(name: &str) -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
    let root = std::env::var_os("CARDED_VECTORS").map_or_else(beside, PathBuf::from);
    let folder = root.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    let required = std::env::var_os("CARDED_REQUIRE_VECTORS").is_some_and(|value| value == "1");
    assert!(!required, "CARDED_REQUIRE_VECTORS=1, but there is no {}", folder.display());
    eprintln!("skipped: there is no {}; set CARDED_VECTORS to the folder of vectors", folder.display());
    None
}

/// The JSON files of a folder with their names, in order.
pub(crate) fn json_files(folder: &std::path::Path) -> Vec<(String, serde_json::Value)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap())
        })
        .collect();
    files.sort_by(|a, b| a.0.cmp(&b.0));
    files
}
