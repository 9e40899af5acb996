//! Times of some cases, measured in turns.
//!
//! A machine's speed drifts by more than a budget allows. So cases that are compared run in turns of a fraction of a
//! millisecond each, and each turn has its ratio: what slows the machine slows all.

use std::time::{Duration, Instant};

use super::cases::{Case, Run};

/// How cases are measured.
pub struct Plan {
    /// How long a turn lasts.
    pub turn: Duration,
    /// How long all of it lasts.
    pub measured: Duration,
    /// How many times the cases are built: what a cache makes of some addresses is chance. So each round is built anew,
    /// while the others hold their places.
    pub rounds: u32,
}

impl Plan {
    pub const fn lasting(measured: Duration) -> Self {
        Self { turn: Duration::from_micros(500), measured, rounds: 5 }
    }
}

/// Times in ns of each case, in each turn of each round. `before` is called before each case's part of a turn.
pub fn take_turns(cases: &[&Case], plan: &Plan, before: &dyn Fn(usize)) -> Vec<Vec<Vec<f64>>> {
    let mut times: Vec<u64> = cases.iter().map(|case| times_in_a_turn(&mut case.build(), plan.turn)).collect();
    let (least, most) = (times.iter().copied().min().unwrap_or(1), times.iter().copied().max().unwrap_or(1));
    // Where they cost about the same, they go through the same sound in each turn.
    if most <= 2 * least {
        times.fill(most);
    }
    let mut built: Vec<Vec<Run>> = Vec::new();
    let mut rounds = Vec::new();
    for _ in 0..plan.rounds {
        built.push(cases.iter().map(|case| case.build()).collect());
        let runs = built.last_mut().expect("it was just put there");
        rounds.push(round(runs, &times, plan.measured / plan.rounds, before));
    }
    rounds
}

fn round(runs: &mut [Run], times: &[u64], measured: Duration, before: &dyn Fn(usize)) -> Vec<Vec<f64>> {
    let mut turns = Vec::new();
    let start = Instant::now();
    while turns.is_empty() || start.elapsed() < measured {
        let mut ns = vec![0.0; runs.len()];
        // The one that goes first changes from turn to turn.
        for offset in 0..runs.len() {
            let index = (offset + turns.len()) % runs.len();
            before(index);
            let start = Instant::now();
            runs[index](times[index]);
            ns[index] = start.elapsed().as_nanos() as f64 / times[index] as f64;
        }
        turns.push(ns);
    }
    turns
}

/// An even number, because an encoder may need two frames for a packet.
fn times_in_a_turn(run: &mut Run, turn: Duration) -> u64 {
    let mut times = 2;
    loop {
        let start = Instant::now();
        run(times);
        if start.elapsed() >= turn {
            return times;
        }
        times *= 2;
    }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
