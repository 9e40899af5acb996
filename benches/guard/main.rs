//! Holds what the cases cost to `benches/budget.toml`: `scripts/bench-guard`.

mod budget;
#[path = "../cases/mod.rs"]
mod cases;
mod count;
mod instructions;
mod times;
mod turns;

use std::collections::HashMap;
use std::process::ExitCode;

use budget::Budget;
use cases::Case;

/// What went wrong, for the last line of the output.
type Result<T> = std::result::Result<T, String>;

/// All cases by name.
type Cases = HashMap<String, Case>;

const FLAGS: [&str; 6] = ["--bench", "--test", count::COUNT, "--ci", "--update", "--times"];

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("guard: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Vec<String>) -> Result<()> {
    let (flags, names): (Vec<_>, Vec<_>) = args.iter().map(String::as_str).partition(|arg| arg.starts_with("--"));
    if let Some(flag) = flags.iter().find(|flag| !FLAGS.contains(flag)) {
        return Err(format!("unknown option {flag}"));
    }
    let given = |flag| flags.contains(&flag);
    let cases: Cases = cases::all().into_iter().map(|case| (case.name.clone(), case)).collect();
    // Whatever is no option picks the budgets whose name contains it.
    let filter = names.first().copied().unwrap_or_default();
    if given(count::COUNT) {
        return count::run_counted(find(&cases, filter)?);
    }
    let budget = Budget::read()?;
    let ratios = budget.ratios.iter().map(|ratio| &ratio.name);
    if !budget.instructions.iter().map(|(name, _)| name).chain(ratios).any(|name| name.contains(filter)) {
        return Err(format!("no budget has {filter} in its name"));
    }
    // Cargo says `--bench`, unless it only wants to know whether everything runs.
    if !given("--bench") || given("--test") {
        budget.cases().try_for_each(|name| find(&cases, name).map(|case| case.build()(2)))
    } else if given("--times") {
        times::compare_all(&budget, &cases, filter)
    } else if given("--update") {
        instructions::update(budget, filter)
    } else {
        instructions::check(&budget, filter, given("--ci"))
    }
}

fn find<'a>(cases: &'a Cases, name: &str) -> Result<&'a Case> {
    cases.get(name).ok_or_else(|| format!("no case {name}"))
}
