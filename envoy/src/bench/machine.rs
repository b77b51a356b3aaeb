//! What the system says: of the machine, and of the processor time and memory of a process (proc(5)).

use anyhow::{Context, Result};
use std::fs;
use std::time::Duration;

/// The processor time that a process has used so far: to the nanosecond where the kernel counts it for each thread (`schedstat`),
/// else to 10 ms.
///
/// # Errors
/// When there is no such process, or no `/proc`.
pub(super) fn processor_time(pid: u32) -> Result<Duration> {
    if let Some(time) = schedstat(pid).filter(|time| !time.is_zero()) {
        return Ok(time);
    }
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("no process {pid}"))?;
    stat(&text).context("/proc/PID/stat is of another form")
}

/// The sum of the first fields of `/proc/PID/task/*/schedstat`. The threads of what is measured do not end while it is.
fn schedstat(pid: u32) -> Option<Duration> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let used = |task: fs::DirEntry| -> Option<u64> {
        fs::read_to_string(task.path().join("schedstat")).ok()?.split_whitespace().next()?.parse().ok()
    };
    tasks.map(|task| task.ok().and_then(used)).sum::<Option<u64>>().map(Duration::from_nanos)
}

/// `utime` and `stime` of `/proc/PID/stat`, in ticks of a hundredth of a second (`USER_HZ`, which is 100 everywhere).
fn stat(text: &str) -> Option<Duration> {
    // the second field is the name in brackets, which may hold anything
    let rest = text.rsplit_once(") ")?.1;
    let mut fields = rest.split_whitespace().skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 10))
}

/// The processor's name and the number of processors.
pub(super) fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{}, {cores} cores", model(&info).unwrap_or("unknown processor"))
}

fn model(info: &str) -> Option<&str> {
    Some(info.lines().find(|line| line.starts_with("model name"))?.split_once(':')?.1.trim())
}

/// The time of day (UTC) as `2026-11-22 06:15`.
pub(super) fn date(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // the civil calendar from a count of days, in eras of 400 years (Howard Hinnant's algorithm)
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", second / 3600, second % 3600 / 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proc_says() {
        let stat_text = "4242 (a) b) R 1 4242 4242 0 -1 4194304 500 0 0 0 123 45 6 7 20 0 3 0 100 1 2";
        assert_eq!(stat(stat_text), Some(Duration::from_millis(1680)));
        assert_eq!(stat("4242 (a) R 1"), None);
        assert_eq!(model("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n"), Some("Some CPU @ 2 GHz"));
    }

    #[test]
    fn a_process_that_works_uses_time() {
        let before = processor_time(std::process::id()).expect("/proc");
        let start = std::time::Instant::now();
        while start.elapsed() < Duration::from_millis(60) {
            std::hint::black_box(start);
        }
        assert!(processor_time(std::process::id()).expect("/proc") > before);
        assert!(processor_time(u32::MAX).is_err());
    }

    #[test]
    fn dates() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(date(1_795_327_800), "2026-11-22 06:10 UTC");
    }
}
