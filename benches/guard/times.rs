//! Ratios of the times of two cases.
//!
//! A machine's speed drifts by more than a budget allows. So the two cases of a ratio run in turns of a fraction of a
//! millisecond each, and the ratio is the median over all pairs of turns: what slows the machine slows both.

use std::time::{Duration, Instant};

use super::budget::Budget;
use super::cases::{Case, Run};
use super::{Cases, Result, find};

/// How long a turn lasts.
const TURN: Duration = Duration::from_micros(500);

/// How long a ratio is measured.
const MEASURED: Duration = Duration::from_millis(1200);

/// How many times the cases of a ratio are built.
const ROUNDS: u32 = 5;

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
fn compare(cases: [&Case; 2]) -> (f64, [f64; 2]) {
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
        let found = take_turns(built.last_mut().unwrap(), times, MEASURED / ROUNDS);
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
