//! Times of the pairs, alone and beside a busy thread; of the stages of each profile; of many streams.

use std::time::Duration;

use serde_json::{Value, json};
use voxframe::{Format, Profile};

use crate::busy::BusyThread;
use crate::cases::Case;
use crate::pairs::{LEAST_DISTURBED, PAIRS, Pair};
use crate::profiles::{self, PROFILES};
use crate::streams::{BYTES_TARGET, bytes_a_stream};
use crate::turns::{Plan, median, take_turns};
use crate::{Cases, Result, find};

/// How long a pair is measured alone, and how long beside the busy thread.
const ALONE: Duration = Duration::from_millis(3000);
const BESIDE: Duration = Duration::from_millis(2000);

/// Turns whose medians are subtracted.
const SUBTRACTED: usize = 20;

/// Share of these for a trial.
const TRIAL: u32 = 20;

/// A ratio over all turns, and the times of both sides in ns.
struct Found {
    ratio: f64,
    /// 10th and 90th percentile of the turns.
    spread: [f64; 2],
    ns: [f64; 2],
}

/// Measures everything, and prints each pair as it comes. With a filter only the pairs whose name contains it, and a trial
/// takes less time: neither gives a result.
pub fn all(cases: &Cases, format: Format, trial: bool, filter: &str) -> Result<Option<Value>> {
    let [alone, beside] = [ALONE, BESIDE].map(|time| if trial { time / TRIAL } else { time });
    let busy = BusyThread::start();
    let mut pairs = Vec::new();
    for pair in PAIRS.iter().filter(|pair| pair.name().contains(filter)) {
        let names = pair.cases();
        if names.iter().any(|name| name.starts_with("rnnoise-")) && !cases.contains_key(&crate::full_name(names[2])) {
            continue;
        }
        let chosen = names.iter().map(|name| find(cases, name)).collect::<Result<Vec<_>>>()?;
        busy.set(false);
        let alone = compare(pair, &chosen, alone);
        busy.set(true);
        let beside = compare(pair, &chosen, beside);
        println!("{:<110} {}", pair.name(), line(&alone, &beside, pair.target));
        pairs.push(json!({
            "what": pair.what,
            "peer": pair.peer,
            "target": pair.target,
            "met": pair.target.map(|target| alone.ratio <= target),
            "readme": pair.in_readme,
            "alone": alone.to_json(),
            "beside": beside.to_json(),
        }));
    }
    if !filter.is_empty() {
        return Ok(None);
    }
    let disturbed = least_disturbed(cases, &busy, alone)?;
    busy.set(false);
    let mut stages = serde_json::Map::new();
    for profile in PROFILES.map(|profile| profile()) {
        stages.insert(profile.to_string(), stage_times(cases, &profile, format, alone)?);
    }
    let mut memory = serde_json::Map::new();
    for profile in PROFILES.map(|profile| profile()) {
        let bytes = bytes_a_stream(profile, format);
        println!("{profile}: {bytes} bytes a stream  {}", verdict(bytes as f64, Some(BYTES_TARGET as f64)));
        memory.insert(profile.to_string(), bytes.into());
    }
    let found = json!({
        "pairs": pairs,
        "disturbed": disturbed,
        "stages_ns": stages,
        "bytes_a_stream": memory,
    });
    Ok((!trial).then_some(found))
}

/// A pair of the same case twice, the first beside the busy thread.
fn least_disturbed(cases: &Cases, busy: &BusyThread, time: Duration) -> Result<Value> {
    let (what, case, target) = LEAST_DISTURBED;
    let case = find(cases, case)?;
    // Some frames each, or what the switch costs is measured.
    let plan = Plan { turn: Duration::from_millis(5), ..Plan::lasting(2 * time) };
    let rounds = take_turns(&[case, case], &plan, &|index| busy.set(index == 0));
    let found = Found::new(rounds.iter().flatten().map(|ns| [ns[0], ns[1]]).collect());
    println!("{what} over itself alone: {:.3}  {}", found.ratio, verdict(found.ratio, Some(target)));
    Ok(json!({ "what": what, "target": target, "met": found.ratio <= target, "found": found.to_json() }))
}

fn compare(pair: &Pair, cases: &[&Case], time: Duration) -> Found {
    let rounds = if pair.is_large() { 1 } else { Plan::lasting(time).rounds };
    let turns = take_turns(cases, &Plan { rounds, ..Plan::lasting(time) }, &|_| ()).concat();
    // The difference of two turns is mostly chance, where something else runs: so medians are subtracted.
    let together = if cases.len() > 2 { SUBTRACTED } else { 1 };
    let costs = turns.chunks(together).map(medians);
    Found::new(costs.map(|costs| pair.sides(&costs)).collect())
}

/// Median of each case over some turns.
fn medians(turns: &[Vec<f64>]) -> Vec<f64> {
    (0..turns[0].len()).map(|case| median(turns.iter().map(|ns| ns[case]).collect())).collect()
}

impl Found {
    fn new(turns: Vec<[f64; 2]>) -> Self {
        let mut ratios: Vec<_> = turns.iter().map(|[ours, peer]| ours / peer).collect();
        ratios.sort_by(f64::total_cmp);
        let at = |share: f64| ratios[((ratios.len() - 1) as f64 * share).round() as usize];
        let ns = [0, 1].map(|side| median(turns.iter().map(|turn| turn[side]).collect()));
        Self { ratio: at(0.5), spread: [at(0.1), at(0.9)], ns }
    }

    fn to_json(&self) -> Value {
        let round = |value: f64, digits: f64| (value * digits).round() / digits;
        json!({
            "ratio": round(self.ratio, 1e4),
            "p10": round(self.spread[0], 1e4),
            "p90": round(self.spread[1], 1e4),
            "ours_ns": round(self.ns[0], 10.0),
            "peer_ns": round(self.ns[1], 10.0),
        })
    }
}

fn line(alone: &Found, beside: &Found, target: Option<f64>) -> String {
    let [low, high] = alone.spread;
    let [ours, peer] = alone.ns;
    format!(
        "{ours:>9.0} {peer:>9.0} ns {:>7.3} ({low:.3} to {high:.3}), beside a busy thread {:>7.3}  {}",
        alone.ratio,
        beside.ratio,
        verdict(alone.ratio, target)
    )
}

fn verdict(ratio: f64, target: Option<f64>) -> String {
    target.map_or(String::new(), |target| format!("≤ {target} {}", if ratio <= target { "met" } else { "MISSED" }))
}

/// Times in ns of the stages of a profile, in their order.
fn stage_times(cases: &Cases, profile: &Profile, format: Format, time: Duration) -> Result<Value> {
    let stages = profiles::stages(profile, format);
    let names: Vec<_> = stages.iter().map(|stage| profiles::name(profile, stage)).collect();
    let chosen = names.iter().map(|name| find(cases, name)).collect::<Result<Vec<_>>>()?;
    let ns = medians(&take_turns(&chosen, &Plan::lasting(time), &|_| ()).concat());
    Ok(stages.iter().enumerate().map(|(index, stage)| json!({ "stage": stage, "ns": ns[index].round() })).collect())
}
