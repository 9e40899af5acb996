//! Ratios of the times of two cases.

use std::time::Duration;

use super::budget::Budget;
use super::cases::Case;
use super::turns::{Plan, median, take_turns};
use super::{Cases, Result, find};

/// How long a ratio is measured.
const MEASURED: Duration = Duration::from_millis(1200);

/// Measures the ratios whose name contains `filter`, and compares those that have a budget.
pub fn compare_all(budget: &Budget, cases: &Cases, filter: &str) -> Result<()> {
    let mut failed = 0;
    println!("{:<64} {:>9} {:>9} {:>7} {:>7}", "ratio", "ns", "ns", "ratio", "budget");
    for ratio in budget.ratios.iter().filter(|ratio| ratio.name.contains(filter)) {
        let [a, b] = ratio.cases.each_ref().map(|name| find(cases, name));
        let (found, [a_ns, b_ns]) = compare([a?, b?]);
        let verdict = match ratio.max {
            Some(max) if found > max => format!("{max:>7.2} OVER"),
            Some(max) => format!("{max:>7.2} ok"),
            None => String::new(),
        };
        failed += u32::from(verdict.ends_with("OVER"));
        println!("{:<64} {a_ns:>9.0} {b_ns:>9.0} {found:>7.3} {verdict}", ratio.name);
    }
    if failed > 0 { Err(format!("{failed} ratios are over benches/budget.toml")) } else { Ok(()) }
}

/// The ratio of the times of two cases, and the times themselves in ns: medians over some rounds.
fn compare([a, b]: [&Case; 2]) -> (f64, [f64; 2]) {
    let rounds = take_turns(&[a, b], &Plan::lasting(MEASURED), &|_| ());
    let over_all = |value: fn(&Vec<f64>) -> f64| {
        median(rounds.iter().map(|turns| median(turns.iter().map(value).collect())).collect())
    };
    (over_all(|ns| ns[0] / ns[1]), [over_all(|ns| ns[0]), over_all(|ns| ns[1])])
}
