//! Keeps `THREATS.md` honest: every numbered line names tests that exist, or says that it is open; and every test that is
//! named `threat_NN_…` stands below its line.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;

/// Folders that hold no sources of ours.
const NOT_OURS: [&str; 4] = ["target", "node_modules", ".git", "docs"];
const HELD: &str = "   held by: ";
const WIDTH: usize = 120;

/// Checks `THREATS.md` against the tests in the tree; with `fix`, lists those that are named after a threat.
pub(crate) fn check(workspace: &Workspace, fix: bool) -> Result<()> {
    let file = workspace.root.join("THREATS.md");
    let text = std::fs::read_to_string(&file).context("THREATS.md")?;
    let mut tests = HashSet::new();
    collect(&workspace.root, &mut tests)?;
    let complete = complete(&text, &tests);
    if complete != text {
        if !fix {
            bail!("THREATS.md does not list the tests that are named after a threat: cargo xtask check --fix does");
        }
        std::fs::write(&file, &complete)?;
        println!("THREATS.md was completed");
    }
    let threats = parse(&complete)?;
    let mut missing = Vec::new();
    for threat in &threats {
        missing.extend(threat.tests.iter().filter(|name| !tests.contains(*name)).map(|name| (threat.number, name)));
    }
    let open = threats.iter().filter(|threat| threat.open).count();
    let held = threats.iter().filter(|threat| !threat.tests.is_empty()).count();
    println!("{} threats: {held} held by tests, {open} open in whole or in part", threats.len());
    if missing.is_empty() {
        return Ok(());
    }
    let list: Vec<_> = missing.iter().map(|(number, name)| format!("{number}: {name}")).collect();
    bail!("THREATS.md names tests that do not exist:\n  {}", list.join("\n  "))
}

/// One numbered line and what stands below it.
#[derive(Debug, PartialEq, Eq)]
struct Threat {
    number: usize,
    tests: BTreeSet<String>,
    open: bool,
}

/// What a line of `THREATS.md` belongs to.
enum Kind {
    Number(usize),
    Tests,
    Open,
    Other,
}

/// Says of each line what it belongs to. A list of tests may go on over several lines.
fn kinds(text: &str) -> impl Iterator<Item = (Kind, &str)> {
    let mut in_tests = false;
    text.lines().map(move |line| {
        if let Some(number) = line.split_once(". ").and_then(|(number, _)| number.parse().ok()) {
            in_tests = false;
            return (Kind::Number(number), line);
        }
        let indented = line.starts_with("   ");
        let body = line.trim_start();
        in_tests = indented && (body.starts_with("held by: ") || (in_tests && !body.starts_with("open: ")));
        let kind = match (in_tests, indented && body.starts_with("open: ")) {
            (true, _) => Kind::Tests,
            (false, true) => Kind::Open,
            (false, false) => Kind::Other,
        };
        (kind, line)
    })
}

/// Reads `12. What is withstood.` with `held by: `name`, …` and `open: …` below it, both indented.
fn parse(text: &str) -> Result<Vec<Threat>> {
    let mut threats: Vec<Threat> = Vec::new();
    for (kind, line) in kinds(text) {
        if let Kind::Number(number) = kind {
            if number != threats.len() + 1 {
                bail!("THREATS.md: {number} follows {}", threats.len());
            }
            threats.push(Threat { number, tests: BTreeSet::new(), open: false });
        }
        match (kind, threats.last_mut()) {
            (Kind::Tests, Some(threat)) => threat.tests.extend(quoted(line)),
            (Kind::Open, Some(threat)) => threat.open = true,
            _ => {}
        }
    }
    let silent: Vec<_> = threats
        .iter()
        .filter(|threat| threat.tests.is_empty() && !threat.open)
        .map(|threat| threat.number.to_string())
        .collect();
    if !silent.is_empty() {
        bail!("THREATS.md: these neither name a test nor say that they are open: {}", silent.join(", "));
    }
    if threats.is_empty() {
        bail!("THREATS.md has no numbered line");
    }
    Ok(threats)
}

/// The text with exactly the tests that are named `threat_NN_…` below their lines, sorted, beside those of other names that
/// stand there already. A line that so loses its last test is then refused by [`parse`].
fn complete(text: &str, tests: &HashSet<String>) -> String {
    let mut of: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    for name in tests {
        let number =
            name.strip_prefix("threat_").and_then(|rest| rest.split_once('_')).and_then(|(n, _)| n.parse().ok());
        if let Some(number) = number {
            of.entry(number).or_default().insert(name.clone());
        }
    }
    let mut current = 0;
    for (kind, line) in kinds(text) {
        match kind {
            Kind::Number(number) => current = number,
            Kind::Tests => {
                let by_hand = quoted(line).filter(|name| !name.starts_with("threat_"));
                of.entry(current).or_default().extend(by_hand);
            }
            Kind::Open | Kind::Other => {}
        }
    }
    let mut completed = String::new();
    // the list stands right below the threat's own text, which may go on over several lines
    let mut owed = None;
    for (kind, line) in kinds(text) {
        let goes_on = matches!(kind, Kind::Other) && line.starts_with("   ");
        if !goes_on && let Some(names) = owed.take() {
            completed.push_str(&list(names));
        }
        match kind {
            Kind::Tests => continue,
            Kind::Number(number) => owed = of.get(&number).filter(|names| !names.is_empty()),
            Kind::Open | Kind::Other => {}
        }
        completed.push_str(line);
        completed.push('\n');
    }
    if let Some(names) = owed {
        completed.push_str(&list(names));
    }
    completed
}

fn list(names: &BTreeSet<String>) -> String {
    let mut text = String::new();
    let mut line = HELD.to_owned();
    for (index, name) in names.iter().enumerate() {
        let comma = if index + 1 == names.len() { "" } else { ", " };
        let word = format!("`{name}`{comma}");
        if line.len() + word.trim_end().len() > WIDTH && line != HELD {
            text.push_str(line.trim_end());
            text.push('\n');
            line = "   ".to_owned();
        }
        line.push_str(&word);
    }
    text + line.trim_end() + "\n"
}

fn quoted(line: &str) -> impl Iterator<Item = String> + '_ {
    line.split('`').skip(1).step_by(2).map(str::to_owned)
}

/// The names of all tests below a folder: functions under `#[test]` or `#[tokio::test]`, those that `in_each_envoy!` makes
/// tests of, and titles of Node's tests.
fn collect(folder: &Path, names: &mut HashSet<String>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if !path.file_name().is_some_and(|name| NOT_OURS.iter().any(|other| name == *other)) {
                collect(&path, names)?;
            }
            continue;
        }
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => names.extend(rust_tests(&std::fs::read_to_string(&path)?)),
            Some("mjs") => names.extend(node_tests(&std::fs::read_to_string(&path)?)),
            _ => {}
        }
    }
    Ok(())
}

fn rust_tests(text: &str) -> Vec<String> {
    let lists = text.split("in_each_envoy!(").skip(1).filter_map(|rest| rest.split_once(')'));
    let mut names: Vec<String> = lists
        .flat_map(|(list, _)| list.split(','))
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect();
    let mut marked = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            marked = true;
        } else if line.starts_with("#[ignore") {
            // a test that does not run holds nothing
            marked = false;
        } else if let Some((before, name)) = line.split_once("fn ").filter(|_| marked)
            && (before.is_empty() || before.ends_with(' '))
        {
            names.extend(name.split_once('(').map(|(name, _)| name.to_owned()));
            marked = false;
        }
    }
    names
}

fn node_tests(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("test('")?.split_once('\''))
        .map(|(name, _)| name.to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_name_tests_or_are_open() {
        let text = "# T\n\n1. One.\n   held by: `a_b`,\n   `c_d`\n2. Two.\n   held by: `e`\n   open: `rest` comes later\n3. Three.\n   open: later\n\nEnd `x`.";
        let threat = |number, tests: &[&str], open| Threat {
            number,
            tests: tests.iter().map(|name| (*name).to_owned()).collect(),
            open,
        };
        assert_eq!(
            parse(text).expect("a list"),
            [threat(1, &["a_b", "c_d"], false), threat(2, &["e"], true), threat(3, &[], true)]
        );
        assert!(parse("1. One.\n2. Two.\n   open: later").is_err(), "1 says nothing");
        assert!(parse("1. One.\n   open: x\n3. Three.\n   open: x").is_err(), "2 is missing");
    }

    #[test]
    fn tests_that_are_named_after_a_threat_are_added() {
        let names = ["threat_01_b", "threat_01_a", "threat_02_c", "other"].map(str::to_owned).into_iter().collect();
        let text = "Intro.\n\n1. One,\n   that goes on.\n   held by: `threat_01_renamed`, `z_z`\n   open: more\n2. Two.\n\n## More\n3. Three.\n   open: all\n";
        let done = "Intro.\n\n1. One,\n   that goes on.\n   held by: `threat_01_a`, `threat_01_b`, `z_z`\n   open: more\n2. Two.\n   held by: `threat_02_c`\n\n## More\n3. Three.\n   open: all\n";
        assert_eq!(complete(text, &names), done);
        assert_eq!(complete(done, &names), done, "completing is stable");
        assert_eq!(complete("4. Four.\n   held by: `threat_04_gone`\n", &names), "4. Four.\n");
        let many: HashSet<String> = (0..9).map(|n| format!("threat_03_a_rather_long_name_of_a_test_{n}")).collect();
        let long = complete("3. Three.\n", &many);
        assert!(long.lines().all(|line| line.len() <= WIDTH) && long.lines().count() > 3, "{long}");
        assert_eq!(complete(&long, &many), long);
    }

    #[test]
    fn only_tests_that_run_count() {
        let source = "#[test]\nfn runs() {}\n#[tokio::test(flavor = \"x\")]\nasync fn runs_too() {}\nfn helper() {}\n#[test]\n#[ignore]\nfn sleeps() {}";
        assert_eq!(rust_tests(source), ["runs", "runs_too"]);
        assert_eq!(rust_tests("in_each_envoy!(\n    one,\n    two,\n);\nasync fn three() {}"), ["one", "two"]);
        assert_eq!(node_tests("test('a token verifies', async () => {"), ["a token verifies"]);
    }
}
