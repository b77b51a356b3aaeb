//! `carded revocations`: the compact form of a list of what is revoked, from entries one a line.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use carded_verifier::revocation::Entry;
use carded_verifier::revocation::compact::{Compact, build};
use serde_json::{Map, Value};

/// Reads entries, one JSON object a line (empty lines are left out), and builds the list. `before` is the file that it
/// replaces, whose salt is kept; where there is none, `random` draws one.
///
/// # Errors
/// The first line that cannot be read, by its number.
pub fn compact(
    lines: &str,
    before: Option<&[u8]>,
    random: impl FnOnce(&mut [u8]) -> Result<()>,
) -> Result<(Vec<u8>, usize)> {
    let mut entries = Vec::new();
    for (number, line) in (1..).zip(lines.lines()) {
        if line.trim().is_empty() {
            continue;
        }
        let entry: Map<String, Value> =
            serde_json::from_str(line).map_err(|error| anyhow!("line {number}: no JSON object: {error}"))?;
        entries.push(Entry::from_json(&entry).map_err(|why| anyhow!("line {number}: {why}"))?);
    }
    // the same list whatever the order of its lines, so that an unchanged one stays the same to the byte
    entries.sort_unstable();
    entries.dedup();
    let mut salt = [0; 16];
    match before.and_then(Compact::of_slice) {
        Some(before) => salt = before.salt(),
        None => random(&mut salt)?,
    }
    let bytes = build(&entries, salt).context("too many entries: at most 24 MiB, about 4.7 million")?;
    Ok((bytes, entries.len()))
}

/// Writes the compact form of `file` to `output`, in one step.
///
/// # Errors
/// What cannot be read or written.
pub fn write(file: &Path, output: &Path) -> Result<String> {
    let lines = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let before = std::fs::read(output).ok();
    let (bytes, count) = compact(&lines, before.as_deref(), random).with_context(|| file.display().to_string())?;
    let mut beside = output.as_os_str().to_owned();
    beside.push(".new");
    std::fs::write(&beside, &bytes).with_context(|| format!("cannot write {}", output.display()))?;
    std::fs::rename(&beside, output).with_context(|| format!("cannot write {}", output.display()))?;
    Ok(format!("{}: {count} entries, {} bytes", output.display(), bytes.len()))
}

/// Random bytes of the system.
///
/// # Errors
/// Where there are none.
pub fn random(bytes: &mut [u8]) -> Result<()> {
    use std::io::Read as _;
    let mut source = std::fs::File::open("/dev/urandom").context("this system has no /dev/urandom")?;
    source.read_exact(bytes).context("cannot read /dev/urandom")
}

#[cfg(test)]
mod tests {
    use super::*;
    use carded_verifier::revocation::{Kind, Mark};

    const LINES: &str = "{\"session\":\"a\"}\n\n{\"sub\":\"b\",\"iss\":\"i\",\"before\":7}\n{\"session\":\"a\"}\n";

    fn salt(byte: u8) -> impl FnOnce(&mut [u8]) -> Result<()> {
        move |bytes| {
            bytes.fill(byte);
            Ok(())
        }
    }

    #[test]
    fn lines_become_a_list_that_keeps_its_salt() {
        let (bytes, count) = compact(LINES, None, salt(1)).unwrap();
        let list = Compact::of_slice(&bytes).unwrap();
        assert_eq!((count, list.len(), list.salt()), (2, 2, [1; 16]));
        assert!(list.covers(Mark::of(Kind::Session, "", "a"), None));
        assert!(list.covers(Mark::of(Kind::Subject, "i", "b"), None));
        let other: Vec<_> = LINES.lines().rev().collect();
        let (again, _) = compact(&other.join("\n"), Some(&bytes), salt(2)).unwrap();
        assert_eq!(again, bytes);
        let (new, _) = compact(LINES, Some(b"no list"), salt(2)).unwrap();
        assert_eq!(Compact::of_slice(&new).unwrap().salt(), [2; 16]);
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        for (lines, number) in [("x", 1), ("{\"session\":\"a\"}\n{\"session\":7}", 2), ("\n\n[]", 3), ("{}", 1)] {
            let error = compact(lines, None, salt(1)).unwrap_err().to_string();
            assert!(error.starts_with(&format!("line {number}: ")), "{error}");
        }
        assert!(compact("", None, |_| Err(anyhow!("none"))).is_err());
    }
}
