//! `benches/budget.toml`, and the table made of it in `docs/performance.md`.

use std::fmt::Write;
use std::fs;

use super::Result;

const BUDGET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/budget.toml");
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/performance.md");

/// Lines of the document around the table.
const TABLE: [&str; 2] = ["<!-- written by scripts/bench-guard --update -->\n", "<!-- end -->\n"];

/// Ratio of the times of two cases.
pub struct Ratio {
    /// `WHAT over WHAT, FORMAT`.
    pub name: String,
    pub cases: [String; 2],
    /// Largest ratio allowed; none for a ratio that depends on the processor.
    pub max: Option<f64>,
}

pub struct Budget {
    /// Programs and libraries with which the instructions were counted.
    pub toolchain: String,
    /// Instructions a frame of each case.
    pub instructions: Vec<(String, f64)>,
    pub ratios: Vec<Ratio>,
    text: String,
}

impl Budget {
    pub fn read() -> Result<Self> {
        Self::parse(fs::read_to_string(BUDGET).map_err(|error| format!("{BUDGET}: {error}"))?)
    }

    fn parse(text: String) -> Result<Self> {
        let mut budget = Self { toolchain: String::new(), instructions: Vec::new(), ratios: Vec::new(), text };
        for line in budget.text.lines() {
            let bad = || format!("in benches/budget.toml: {line}");
            if let Some(toolchain) = line.strip_prefix("toolchain = ") {
                budget.toolchain = toolchain.trim_matches('"').to_owned();
            } else if let Some((name, value)) = entry(line) {
                let value = value.map(str::parse::<f64>).transpose().map_err(|_| bad())?;
                if let Some((pair, format)) = name.split_once(", ") {
                    let (a, b) = pair.split_once(" over ").ok_or_else(bad)?;
                    let cases = [a, b].map(|what| format!("{what}/{format}"));
                    budget.ratios.push(Ratio { name: name.to_owned(), cases, max: value });
                } else {
                    budget.instructions.push((name.to_owned(), value.ok_or_else(bad)?));
                }
            }
        }
        Ok(budget)
    }

    /// Names of all cases that are in a budget.
    pub fn cases(&self) -> impl Iterator<Item = &str> {
        let counted = self.instructions.iter().map(|(name, _)| name);
        counted.chain(self.ratios.iter().flat_map(|ratio| &ratio.cases)).map(String::as_str)
    }

    /// Writes the instructions and the toolchain as they are now, and the table in the document.
    pub fn write(self) -> Result<()> {
        let line = |line: &str| {
            let name = entry(line).map(|(name, _)| name);
            match self.instructions.iter().find(|(case, _)| Some(case.as_str()) == name) {
                Some((case, count)) => format!("\"{case}\" = {count}\n"),
                None if line.starts_with("toolchain = ") => format!("toolchain = \"{}\"\n", self.toolchain),
                None => format!("{line}\n"),
            }
        };
        let budget: String = self.text.lines().map(line).collect();
        let document = fs::read_to_string(DOCUMENT).map_err(|error| format!("{DOCUMENT}: {error}"))?;
        let (before, rest) = document.split_once(TABLE[0]).ok_or("no place for the table in docs/performance.md")?;
        let (_, after) = rest.split_once(TABLE[1]).ok_or("no end of the table in docs/performance.md")?;
        let document = [before, TABLE[0], &self.table(), TABLE[1], after].concat();
        for (path, text) in [(BUDGET, budget), (DOCUMENT, document)] {
            fs::write(path, text).map_err(|error| format!("{path}: {error}"))?;
        }
        Ok(())
    }

    /// Instructions as a table in Markdown.
    fn table(&self) -> String {
        let mut table = format!("Counted with {}.\n\n", self.toolchain);
        table.push_str("| what | format | instructions a frame |\n| --- | --- | ---: |\n");
        for (name, count) in &self.instructions {
            let (what, format) = name.split_once('/').unwrap_or((name, ""));
            writeln!(table, "| {what} | {format} | {count} |").expect("a string takes all");
        }
        table
    }
}

/// Name and value of a line `"NAME" = VALUE`; `"NAME",` has no value.
fn entry(line: &str) -> Option<(&str, Option<&str>)> {
    let (name, value) = line.trim_start().strip_prefix('"')?.split_once('"')?;
    Some((name, value.strip_prefix(" = ")))
}
