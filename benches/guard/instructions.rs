//! Instructions a frame, held to the budget.

use super::Result;
use super::budget::Budget;
use super::count::{count, for_all, toolchain};

/// Deviation that fails, either way: an improvement must lower the budget, or the next slowdown hides in it.
const TOLERANCE: f64 = 0.02;

/// Largest difference of two counts of the same case.
const REPEATABILITY: f64 = 0.001;

/// Counts the cases whose name contains `filter`, and compares with the budget.
pub fn check(budget: &Budget, filter: &str, ci: bool) -> Result<()> {
    if cfg!(not(all(target_arch = "x86_64", target_os = "linux"))) {
        println!("skipped: the budgets in instructions hold for Linux on x86-64");
        return Ok(());
    }
    let toolchain = match toolchain() {
        Err(missing) if !ci => {
            println!("skipped: {missing}");
            return Ok(());
        }
        toolchain => toolchain?,
    };
    let chosen: Vec<_> = budget.instructions.iter().filter(|(name, _)| name.contains(filter)).collect();
    let mut failed = 0;
    println!("{:<44} {:>12} {:>12} {:>9}", "instructions a frame", "counted", "budget", "change");
    for_all(
        &chosen,
        |(name, _)| count(name, 0),
        |(name, budget), count| {
            let change = count / budget - 1.0;
            let verdict = match change {
                _ if change > TOLERANCE => "OVER",
                _ if change >= -TOLERANCE => "ok",
                _ => "UNDER",
            };
            failed += u32::from(verdict != "ok");
            println!("{name:<44} {count:>12.1} {budget:>12.1} {:>+8.2}% {verdict}", 100.0 * change);
        },
    )?;
    if failed == 0 {
        return Ok(());
    }
    if toolchain != budget.toolchain {
        println!("The budgets were counted with {}; this is {toolchain}.", budget.toolchain);
        println!("Where nothing else has changed, update them: scripts/bench-guard --update");
    }
    let of = chosen.len();
    Err(format!("{failed} of {of} counts are more than {} % off benches/budget.toml", 100.0 * TOLERANCE))
}

/// Counts the cases whose name contains `filter`, each twice, and writes the budget.
pub fn update(mut budget: Budget, filter: &str) -> Result<()> {
    let toolchain = toolchain()?;
    if !filter.is_empty() && toolchain != budget.toolchain {
        return Err(format!("the other budgets were counted with {}: update all of them", budget.toolchain));
    }
    budget.toolchain = toolchain;
    let chosen: Vec<_> = budget.instructions.iter_mut().filter(|(name, _)| name.contains(filter)).collect();
    let mut worst = 0.0f64;
    println!("{:<44} {:>12} {:>12} {:>9}", "instructions a frame", "counted", "again", "change");
    // The second time with a stack that begins elsewhere, as in another shell.
    let counts = for_all(
        &chosen,
        |(name, _)| Ok([count(name, 0)?, count(name, 1000)?]),
        |(name, _), [first, second]| {
            let change = second / first - 1.0;
            worst = worst.max(change.abs());
            println!("{name:<44} {first:>12.1} {second:>12.1} {:>+8.4}%", 100.0 * change);
        },
    )?;
    println!("largest difference of two counts: {:.4} %", 100.0 * worst);
    if worst > REPEATABILITY {
        return Err(format!("two counts must agree to {} %: nothing written", 100.0 * REPEATABILITY));
    }
    for ((_, budget), [count, _]) in chosen.into_iter().zip(counts) {
        *budget = (10.0 * count).round() / 10.0;
    }
    budget.write()
}
