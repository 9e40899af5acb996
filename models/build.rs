//! Sources for the models: the crate's own lock-free files, and those of the crates rtrb and triple_buffer in the versions
//! that the crate's `Cargo.lock` names, rewritten for loom.
//!
//! Atomics, mutexes and cells become loom's; each memory ordering that orders anything gets a number, so that the models
//! can be run with that one weakened. What is replaced must be found as often as is said here: a new version of one of the
//! crates stops the build instead of being checked by halves.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// A text, what takes its place, and how often it must be found.
type Replacement = (&'static str, &'static str, usize);

const ATOMIC: Replacement = ("std::sync::atomic", "loom::sync::atomic", 1);

/// Names of the two crates, as they are here.
const RTRB: Replacement = ("use rtrb::", "use crate::rtrb::", 1);
const TRIPLE_BUFFER: Replacement = ("use triple_buffer::", "use crate::triple_buffer::", 1);

fn main() {
    let crate_dir = PathBuf::from(env::var("CARGO_MANIFEST_DIR").unwrap()).join("..");
    let out_dir = PathBuf::from(env::var("OUT_DIR").unwrap());
    let mut rewriter = Rewriter { out_dir, orderings: Vec::new() };

    let [rtrb, triple_buffer] = dependency_dirs(&crate_dir, ["rtrb", "triple_buffer"]);
    rewriter.rewrite(&rtrb, "src/cache_padded.rs", "rtrb/cache_padded.rs", &[]);
    let core_atomic = ("core::sync::atomic", "loom::sync::atomic", 1);
    rewriter.rewrite(
        &rtrb,
        "src/arc_ring_buffer.rs",
        "rtrb/arc_ring_buffer.rs",
        &[("use core::sync::atomic", "use loom::sync::atomic", 1)],
    );
    rewriter.rewrite(
        &rtrb,
        "src/lib.rs",
        "rtrb/lib.rs",
        &[
            core_atomic,
            ("pub mod chunks;", "", 1),
            ("use chunks::WriteChunkUninit;", "", 1),
            ("data_ptr: *mut T,", "data_ptr: crate::shim::Slots<T>,", 1),
            ("ManuallyDrop::new(Vec::with_capacity(capacity)).as_mut_ptr()", "crate::shim::Slots::new(capacity)", 1),
            ("-> *mut T {", "-> crate::shim::Slot<'_, T> {", 1),
            ("&*self.buffer.slot_ptr(head)", "self.buffer.slot_ptr(head).peek()", 1),
            ("unsafe { Vec::from_raw_parts(self.data_ptr, 0, self.capacity) };", "", 1),
        ],
    );
    rewriter.rewrite(
        &triple_buffer,
        "src/lib.rs",
        "triple_buffer.rs",
        &[
            ("use crossbeam_utils::CachePadded;", "use std::boxed::Box as CachePadded;", 1),
            ("use alloc::sync::Arc;", "use loom::sync::{Arc, atomic::{AtomicU8, Ordering}};", 1),
            ("    cell::UnsafeCell,\n", "", 1),
            ("    sync::atomic::{AtomicU8, Ordering},\n};", "};\nuse crate::shim::UnsafeCell;", 1),
        ],
    );

    let src = crate_dir.join("src");
    // `Arc`, `Weak` and `OnceLock` stay those of the standard library.
    rewriter.rewrite(
        &src,
        "control/handle.rs",
        "handle.rs",
        &[(
            "use std::sync::{Arc, Mutex, MutexGuard, PoisonError};",
            "use loom::sync::{Mutex, MutexGuard};\nuse std::sync::{Arc, PoisonError};",
            1,
        )],
    );
    rewriter.rewrite(&src, "control/port.rs", "port.rs", &[TRIPLE_BUFFER]);
    rewriter.rewrite(&src, "device/packet_queue.rs", "device_packet_queue.rs", &[ATOMIC, RTRB]);
    rewriter.rewrite(
        &src,
        "jitter/input.rs",
        "jitter_input.rs",
        &[ATOMIC, RTRB, ("QUEUE_PACKETS: usize = 300;", "QUEUE_PACKETS: usize = 2;", 1), ("pub(super)", "pub", 5)],
    );
    rewriter.rewrite(
        &src,
        "dsp/sample_ring.rs",
        "sample_ring.rs",
        &[ATOMIC, ("fence(Ordering::", "crate::shim::fence(Ordering::", 2), (", fence}", "}", 1)],
    );
    rewriter.finish();
}

/// Source folders of dependencies of the crate, by `cargo metadata`.
fn dependency_dirs<const N: usize>(crate_dir: &Path, names: [&str; N]) -> [PathBuf; N] {
    println!("cargo:rerun-if-changed={}", crate_dir.join("Cargo.lock").display());
    let metadata = Command::new(env::var("CARGO").unwrap())
        .args(["metadata", "--format-version=1", "--locked", "--all-features"])
        .current_dir(crate_dir)
        .output()
        .unwrap();
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata = String::from_utf8(metadata.stdout).unwrap();
    names.map(|name| {
        let version_of = format!("/{name}-");
        let manifest = metadata
            .split("\"manifest_path\":\"")
            .filter_map(|rest| rest.split('"').next())
            .find(|path| {
                path.split_once(&version_of).is_some_and(|(_, rest)| rest.starts_with(|c: char| c.is_ascii_digit()))
            })
            .unwrap_or_else(|| panic!("{name} is no dependency of the crate"));
        Path::new(manifest).parent().unwrap().into()
    })
}

struct Rewriter {
    out_dir: PathBuf,
    /// File, line and name of each ordering that was numbered.
    orderings: Vec<(String, usize, String)>,
}

impl Rewriter {
    fn rewrite(&mut self, source_dir: &Path, source: &str, target: &str, replacements: &[Replacement]) {
        let source = source_dir.join(source);
        println!("cargo:rerun-if-changed={}", source.display());
        let mut text = fs::read_to_string(&source).unwrap();
        let tests = text.find("\n#[cfg(test)]\n").unwrap_or(text.len());
        let tests = text.split_off(tests);
        for &(from, to, count) in replacements {
            let found = text.lines().filter(|line| !is_comment(line)).map(|line| line.matches(from).count());
            let found = if from.contains('\n') { text.matches(from).count() } else { found.sum() };
            assert_eq!(found, count, "`{from}` in {}", source.display());
            text = text.replace(from, to);
        }
        let text = self.number_orderings(target, &text);
        let target = self.out_dir.join(target);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::write(target, text + &tests).unwrap();
    }

    /// `Ordering::Acquire` and the like become `crate::shim::ordering(NUMBER, Ordering::Acquire)`.
    fn number_orderings(&mut self, target: &str, text: &str) -> String {
        let mut numbered = String::new();
        for (index, line) in text.lines().enumerate() {
            let mut rest = line;
            while let Some(start) = rest.find("Ordering::").filter(|_| !is_comment(line)) {
                let name_start = start + "Ordering::".len();
                let name_len =
                    rest[name_start..].find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len() - name_start);
                let (before, name) = (&rest[..start], &rest[name_start..name_start + name_len]);
                if matches!(name, "Acquire" | "Release" | "AcqRel" | "SeqCst") {
                    let number = self.orderings.len();
                    write!(numbered, "{before}crate::shim::ordering({number}, Ordering::{name})").unwrap();
                    self.orderings.push((target.into(), index + 1, name.into()));
                } else {
                    write!(numbered, "{before}Ordering::{name}").unwrap();
                }
                rest = &rest[name_start + name_len..];
            }
            numbered.push_str(rest);
            numbered.push('\n');
        }
        numbered
    }

    /// The modules, and the table of orderings.
    fn finish(self) {
        let mut modules = String::new();
        let module = |name: &str, file: &str| {
            format!("#[allow(warnings, clippy::all)]\n#[path = {:?}]\npub mod {name};\n", self.out_dir.join(file))
        };
        modules += &module("rtrb", "rtrb/lib.rs");
        modules += &module("triple_buffer", "triple_buffer.rs");
        modules += &module("sample_ring", "sample_ring.rs");
        let control = module("handle", "handle.rs") + &module("port", "port.rs");
        write!(modules, "pub mod control {{\n{control}pub use handle::*;\n}}\n").unwrap();
        modules += &module("device_packet_queue", "device_packet_queue.rs");
        modules += &module("jitter_input", "jitter_input.rs");
        writeln!(modules, "/// File, line and name of each ordering, by number.").unwrap();
        writeln!(modules, "pub const ORDERINGS: &[(&str, u32, &str)] = &{:?};", self.orderings).unwrap();
        fs::write(self.out_dir.join("modules.rs"), modules).unwrap();
    }
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}
