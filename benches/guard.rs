//! Holds the ratios of two cases each to their budgets: `scripts/bench-guard`.
//!
//! A machine's speed drifts by more than a budget allows. So the two cases of a ratio run in turns of a fraction of a
//! millisecond each, and the ratio is the median over all pairs of turns: what slows the machine slows both.

mod cases;

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use cases::{Case, Run};

/// How long a turn lasts.
const TURN: Duration = Duration::from_micros(500);

/// How long a ratio is measured.
const MEASURED: Duration = Duration::from_millis(1200);

/// How many times the cases of a ratio are built.
const ROUNDS: u32 = 5;

/// A line of the budget: `"WHAT over WHAT, FORMAT" = RATIO`.
struct Budget {
    name: &'static str,
    cases: [String; 2],
    most: f64,
}

fn main() -> ExitCode {
    let given = |wanted: &str| std::env::args().any(|arg| arg == wanted);
    // A test run goes through everything once.
    let measured = if given("--bench") && !given("--test") { MEASURED } else { Duration::ZERO };
    // Any other argument picks the ratios whose name contains it.
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with("--")).unwrap_or_default();
    let cases: HashMap<_, _> = cases::all().into_iter().map(|case| (case.name.clone(), case)).collect();
    let mut failed = 0;
    println!("{:<64} {:>9} {:>9} {:>7} {:>7}", "ratio", "ns", "ns", "ratio", "budget");
    for budget in budgets(include_str!("budget.toml")).filter(|budget| budget.name.contains(&filter)) {
        let [a, b] = budget.cases.each_ref().map(|name| cases.get(name).unwrap_or_else(|| panic!("no case {name}")));
        let (ratio, [a_ns, b_ns]) = compare([a, b], measured);
        let over = measured > Duration::ZERO && ratio > budget.most;
        failed += u32::from(over);
        let verdict = if over { "OVER" } else { "ok" };
        println!("{:<64} {a_ns:>9.0} {b_ns:>9.0} {ratio:>7.3} {:>7.2} {verdict}", budget.name, budget.most);
    }
    if failed > 0 {
        println!("{failed} ratios are over their budget in benches/budget.toml");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn budgets(toml: &'static str) -> impl Iterator<Item = Budget> {
    let lines = toml.lines().filter(|line| !line.is_empty() && !line.starts_with(['#', '[']));
    lines.map(|line| parse(line).unwrap_or_else(|| panic!("in benches/budget.toml: {line}")))
}

fn parse(line: &'static str) -> Option<Budget> {
    let (name, most) = line.strip_prefix('"')?.split_once("\" = ")?;
    let (pair, format) = name.split_once(", ")?;
    let (a, b) = pair.split_once(" over ")?;
    Some(Budget { name, cases: [a, b].map(|what| format!("{what}/{format}")), most: most.parse().ok()? })
}

/// The ratio of the times of two cases, and the times themselves in ns: medians over some rounds.
fn compare(cases: [&Case; 2], measured: Duration) -> (f64, [f64; 2]) {
    let mut times = cases.map(|case| times_in_a_turn(&mut case.build()));
    // Where the two cost about the same, they go through the same sound in each turn.
    if times[0].max(times[1]) <= 2 * times[0].min(times[1]) {
        times = [times[0].max(times[1]); 2];
    }
    // What a cache makes of some addresses is chance. So each round is built anew, while the others hold their places.
    let mut built = Vec::new();
    let mut rounds = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        built.push(cases.map(Case::build));
        let found = take_turns(built.last_mut().unwrap(), times, measured / ROUNDS);
        rounds.iter_mut().zip(found).for_each(|(round, found)| round.push(found));
    }
    let [ratio, ns @ ..] = rounds.map(median);
    (ratio, ns)
}

/// Medians over all pairs of turns: the ratio, and both times in ns.
fn take_turns(runs: &mut [Run; 2], times: [u64; 2], measured: Duration) -> [f64; 3] {
    let mut turns = [const { Vec::new() }; 3];
    let start = Instant::now();
    while turns[0].is_empty() || start.elapsed() < measured {
        let mut ns = [0.0; 2];
        // The one that goes first changes from turn to turn.
        for i in if turns[0].len() % 2 == 0 { [0, 1] } else { [1, 0] } {
            let start = Instant::now();
            runs[i](times[i]);
            ns[i] = start.elapsed().as_nanos() as f64 / times[i] as f64;
        }
        turns.iter_mut().zip([ns[0] / ns[1], ns[0], ns[1]]).for_each(|(turn, ns)| turn.push(ns));
    }
    turns.map(median)
}

/// An even number, because an encoder may need two frames for a packet.
fn times_in_a_turn(run: &mut Run) -> u64 {
    let mut times = 2;
    loop {
        let start = Instant::now();
        run(times);
        if start.elapsed() >= TURN {
            return times;
        }
        times *= 2;
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
