//! The tables in README.md and docs/performance.md, written from the results. What was not measured yet stays as it is.

use std::fmt::Write;
use std::fs;

use serde_json::Value;

use crate::pairs::PAIRS;
use crate::streams::BYTES_TARGET;
use crate::{Result, full_name};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Line behind each table.
const END: &str = "<!-- end -->\n";

/// Writes the table of one kind, if there is what it needs.
type Table = fn(&Value) -> Option<String>;

const TABLES: [(&str, &str, Table); 6] = [
    ("README.md", "summary", summary),
    ("docs/performance.md", "pairs", pairs),
    ("docs/performance.md", "pairs in instructions", pair_instructions),
    ("docs/performance.md", "stages in instructions", stage_instructions),
    ("docs/performance.md", "stages", stage_times),
    ("docs/performance.md", "streams", streams),
];

pub fn write(results: &Value) -> Result<()> {
    for (file, what, table) in TABLES {
        let Some(table) = table(results) else { continue };
        let path = format!("{ROOT}/{file}");
        let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let begin = format!("<!-- written by scripts/peers: {what} -->\n");
        let missing = || format!("no place for the table '{what}' in {file}");
        let (before, rest) = text.split_once(&begin).ok_or_else(missing)?;
        let (_, after) = rest.split_once(END).ok_or_else(missing)?;
        fs::write(&path, [before, &begin, &table, END, after].concat()).map_err(|error| format!("{path}: {error}"))?;
    }
    Ok(())
}

/// A table in Markdown, its first columns left and the others right.
fn table(head: &[&str], left: usize, rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let (left, right) = (" --- |".repeat(left), " ---: |".repeat(head.len() - left));
    let mut text = format!("| {} |\n|{left}{right}\n", head.join(" | "));
    for row in rows {
        writeln!(text, "| {} |", row.join(" | ")).expect("a string takes all");
    }
    text
}

/// Which machine it was.
fn measured_on(results: &Value) -> Option<String> {
    Some(format!("On {}.\n\n", results["machine"].as_str()?))
}

fn summary(results: &Value) -> Option<String> {
    let rows = results["pairs"].as_array()?.iter().filter(|pair| pair["readme"] == true).map(|pair| {
        let (alone, beside) = (&pair["alone"], &pair["beside"]);
        vec![
            text(&pair["what"]),
            us(&alone["ours_ns"]),
            text(&pair["peer"]),
            us(&alone["peer_ns"]),
            ratio(alone),
            ratio(beside),
        ]
    });
    let head = ["a frame of 10 ms", "µs", "beside", "µs", "ratio", "with the second core busy"];
    Some(measured_on(results)? + &table(&head, 1, rows))
}

fn pairs(results: &Value) -> Option<String> {
    let rows = results["pairs"].as_array()?.iter().map(|pair| {
        let (alone, beside) = (&pair["alone"], &pair["beside"]);
        vec![
            text(&pair["what"]),
            text(&pair["peer"]),
            us(&alone["ours_ns"]),
            us(&alone["peer_ns"]),
            spread(alone),
            us(&beside["ours_ns"]),
            us(&beside["peer_ns"]),
            spread(beside),
            target(pair),
        ]
    });
    let disturbed = &results["disturbed"];
    let found = &disturbed["found"];
    let last = vec![
        text(&disturbed["what"]),
        "itself alone".into(),
        us(&found["ours_ns"]),
        us(&found["peer_ns"]),
        spread(found),
        String::new(),
        String::new(),
        String::new(),
        target(disturbed),
    ];
    let head = ["what", "beside", "µs", "µs", "ratio", "busy: µs", "busy: µs", "busy: ratio", "target"];
    Some(measured_on(results)? + &table(&head, 2, rows.chain([last])))
}

fn target(pair: &Value) -> String {
    match pair["target"].as_f64() {
        Some(target) => format!("≤ {target}: {}", if pair["met"] == true { "met" } else { "**missed**" }),
        None => String::new(),
    }
}

fn pair_instructions(results: &Value) -> Option<String> {
    let counts = results["instructions"].as_object()?;
    let rows = PAIRS.iter().filter_map(|pair| {
        let counts = pair.cases().into_iter().map(|case| counts.get(&full_name(case))?.as_f64());
        let [ours, peer] = pair.sides(&counts.collect::<Option<Vec<_>>>()?);
        Some(vec![pair.what.into(), pair.peer.into(), grouped(ours), grouped(peer), significant(ours / peer)])
    });
    let head = ["what", "beside", "instructions", "instructions", "ratio"];
    Some(format!("Counted with {}.\n\n", results["toolchain"].as_str()?) + &table(&head, 2, rows))
}

/// Profiles and their stages, as `cost` has it, with their shares.
fn stage_table(cost: impl Fn(&str, &str) -> Option<f64>, unit: impl Fn(f64) -> String) -> String {
    const PROFILES: [&str; 3] = ["low-latency", "balanced", "high-quality"];
    const STAGES: [&str; 9] =
        ["gain", "denoise", "resample", "high-pass", "auto-gain", "gate", "limiter", "meter", "opus"];
    let sums = PROFILES.map(|profile| STAGES.iter().filter_map(|stage| cost(profile, stage)).sum::<f64>());
    let mut rows: Vec<_> = STAGES
        .iter()
        .map(|stage| {
            let cells = PROFILES.iter().zip(sums).flat_map(|(profile, sum)| match cost(profile, stage) {
                Some(cost) => [unit(cost), format!("{:.1} %", 100.0 * cost / sum)],
                None => [String::new(), String::new()],
            });
            std::iter::once((*stage).to_owned()).chain(cells).collect()
        })
        .collect();
    let sums = sums.into_iter().flat_map(|sum| [unit(sum), "100 %".to_owned()]);
    rows.push(std::iter::once("together".to_owned()).chain(sums).collect());
    table(&["stage", "low-latency", "", "balanced", "", "high-quality", ""], 1, rows)
}

fn stage_instructions(results: &Value) -> Option<String> {
    let counts = results["instructions"].as_object()?;
    let cost = |profile: &str, stage: &str| counts.get(&full_name(&format!("{profile}:{stage}")))?.as_f64();
    Some(stage_table(cost, grouped))
}

fn stage_times(results: &Value) -> Option<String> {
    let profiles = results["stages_ns"].as_object()?;
    let cost = |profile: &str, stage: &str| {
        profiles.get(profile)?.as_array()?.iter().find(|entry| entry["stage"] == stage)?["ns"].as_f64()
    };
    Some(measured_on(results)? + &stage_table(cost, |ns| format!("{} µs", significant(ns / 1000.0))))
}

fn streams(results: &Value) -> Option<String> {
    let all = results["pairs"].as_array()?.iter().filter(|pair| pair["peer"] == "one stream");
    let rows = all.map(|pair| {
        let alone = &pair["alone"];
        let at_once = alone["ours_ns"].as_f64().map_or(String::new(), |ns| grouped(10e6 / ns));
        vec![text(&pair["what"]), us(&alone["ours_ns"]), spread(alone), spread(&pair["beside"]), at_once]
    });
    let head = ["", "µs a frame", "ratio to one stream", "busy: ratio", "streams a core"];
    let memory = results["bytes_a_stream"].as_object()?.iter().map(|(profile, bytes)| {
        let bytes = bytes.as_f64().unwrap_or_default();
        let met = if bytes <= BYTES_TARGET as f64 { "met" } else { "**missed**" };
        vec![profile.clone(), format!("{:.1} KiB", bytes / 1024.0), format!("≤ {} KiB: {met}", BYTES_TARGET / 1024)]
    });
    let memory = table(&["heap a stream, without the encoder", "", "target"], 1, memory);
    Some(measured_on(results)? + &table(&head, 1, rows) + "\n" + &memory)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn us(ns: &Value) -> String {
    ns.as_f64().map_or(String::new(), |ns| significant(ns / 1000.0))
}

fn ratio(found: &Value) -> String {
    found["ratio"].as_f64().map_or(String::new(), significant)
}

/// A ratio with its 10th and 90th percentile.
fn spread(found: &Value) -> String {
    let number = |field: &str| found[field].as_f64().map_or(String::new(), significant);
    format!("{} ({}–{})", number("ratio"), number("p10"), number("p90"))
}

/// Three significant digits.
fn significant(value: f64) -> String {
    let digits = 2 - value.abs().max(1e-3).log10().floor() as i32;
    format!("{value:.*}", digits.max(0) as usize)
}

/// A whole number in groups of three digits.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}
