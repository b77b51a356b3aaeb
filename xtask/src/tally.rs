//! Reads the summaries of test runners out of what they print, so that one closing line can say what ran.

/// What a test runner counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Tests that ran and held.
    pub(crate) passed: u64,
    /// Tests that ran and failed.
    pub(crate) failed: u64,
    /// Tests that were left out.
    pub(crate) skipped: u64,
}

impl Tally {
    /// Adds a line of output: libtest's `test result: …`, or a closing line of `node --test` in the TAP form.
    pub(crate) fn read_line(&mut self, line: &str) {
        let line = without_colour(line);
        if let Some(summary) = line.trim().strip_prefix("test result: ") {
            self.passed += number_before(summary, " passed");
            self.failed += number_before(summary, " failed");
            self.skipped += number_before(summary, " ignored");
        } else if let Some(summary) = line.strip_prefix("# ") {
            let mut words = summary.split(' ');
            if let (Some(word), Some(Ok(count)), None) =
                (words.next(), words.next().map(str::parse::<u64>), words.next())
            {
                match word {
                    "pass" => self.passed += count,
                    "fail" | "cancelled" => self.failed += count,
                    "skipped" | "todo" => self.skipped += count,
                    _ => {}
                }
            }
        }
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

fn number_before(text: &str, word: &str) -> u64 {
    text.split(['.', ';'])
        .filter_map(|part| part.trim().strip_suffix(word.trim()))
        .find_map(|number| number.trim().parse().ok())
        .unwrap_or(0)
}

/// Takes terminal colours (CSI … m) out.
fn without_colour(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, after)| after);
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Tally {
        let mut tally = Tally::default();
        for line in lines {
            tally.read_line(line);
        }
        tally
    }

    #[test]
    fn libtest_summaries_add_up() {
        let tally = read(&[
            "running 3 tests",
            "test result: ok. 31 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test result: \u{1b}[31mFAILED\u{1b}[0m. 4 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s",
        ]);
        assert_eq!(tally, Tally { passed: 35, failed: 1, skipped: 2 });
        assert_eq!(tally.to_string(), "35 passed, 1 failed, 2 skipped");
    }

    #[test]
    fn node_summaries_add_up() {
        let tally =
            read(&["ok 1 - a token", "# Subtest: pass 9", "# tests 5", "# pass 3", "# fail 1", "# cancelled 1"]);
        assert_eq!(tally, Tally { passed: 3, failed: 2, skipped: 0 });
    }

    #[test]
    fn what_tests_print_is_not_counted() {
        assert_eq!(read(&["7 passed; 0 failed", "pass 3", "# pass 3 or so"]), Tally::default());
    }
}
