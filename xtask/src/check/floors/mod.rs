//! Holds the imports of each crate against the map of its rooms: a room uses only what is on a lower floor. Re-exports
//! are followed to where a thing is defined; a module that has nothing else is a door, which may stand in front of any
//! floor.
//!
//! Known exceptions are in the map, by name; one that is needed no more has to go. The files that use each other in a
//! circle are counted, and a circle of more than a few has its number in the map, which has to go down with it.

mod arrows;
mod map;
mod modules;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result, bail};

use self::arrows::Arrow;
use self::map::Map;
use self::modules::{Modules, Read};
use super::dependencies;
use crate::output::say;
use crate::workspace;

/// So many files that use each other can still be read as one.
const LARGEST_CIRCLE: usize = 6;
/// The name of what is in no room, and above all.
const ROOT: &str = "the root";

/// Checks all crates of the workspace, and prints their floors.
pub(super) fn check() -> Result<()> {
    let read = |file: &str| fs::read_to_string(workspace::root().join(file)).ok();
    let mut findings = Vec::new();
    for root in dependencies::crate_roots()? {
        if let Some(verdict) = judge(&root, &read).with_context(|| root.clone())? {
            say(format_args!("{}", verdict.text));
            findings.extend(verdict.findings.into_iter().map(|finding| format!("{root}: {finding}")));
        }
    }
    if !findings.is_empty() {
        bail!("{}", findings.join("\n"));
    }
    Ok(())
}

/// What was found of a crate.
struct Verdict {
    /// Its floors, and what each room uses.
    text: String,
    /// What is wrong.
    findings: Vec<String>,
}

/// Judges the crate whose root is the file `root`; nothing, if it is too small for rooms.
fn judge(root: &str, read: Read) -> Result<Option<Verdict>> {
    let modules = Modules::read(root, read)?;
    let Some(map) = Map::find(&read(root).context("there is no such file")?)? else {
        if modules.0[0].children.len() < 2 {
            return Ok(None);
        }
        bail!("the head comment has no map of the crate's rooms (```floors)");
    };
    let arrows = modules.arrows();
    let mut findings = Vec::new();
    find_unmapped(&modules, &map, &mut findings);
    find_upward(&modules, &map, &arrows, &mut findings);
    let circle = modules.largest_circle(&arrows);
    judge_circle(&circle, map.circle, &mut findings);
    Ok(Some(Verdict { text: describe(root, &modules, &map, &arrows, &circle), findings }))
}

/// Finds modules without a room, and rooms without a module.
fn find_unmapped(modules: &Modules, map: &Map, findings: &mut Vec<String>) {
    for module in modules.0.iter().skip(1).filter(|module| map.room(&module.path).is_none()) {
        if module.parent == Some(0) {
            findings.push(format!("the map has no room {}", module.path));
        }
    }
    for room in map.floors.iter().flatten() {
        if !modules.0.iter().any(|module| module.path == *room) {
            findings.push(format!("the map's room {room} is not there"));
        }
    }
}

/// Finds what uses something that is not on a lower floor, and exceptions that nothing needs.
fn find_upward(modules: &Modules, map: &Map, arrows: &[Arrow], findings: &mut Vec<String>) {
    let mut needed = BTreeSet::new();
    let mut said = BTreeSet::new();
    for arrow in arrows {
        let (from, to) = (&modules.0[arrow.from], &modules.0[arrow.to]);
        let (room, other) = (map.room(&from.path), map.room(&to.path));
        // What is in no room has been said.
        let is_unmapped = [from, to].iter().any(|module| !module.path.is_empty() && map.room(&module.path).is_none());
        if is_unmapped || room == other || floor(map, room) > floor(map, other) {
            continue;
        }
        let exception = map.exceptions.iter().position(|exception| exception.allows(&from.path, &to.path));
        if let Some(exception) = exception {
            needed.insert(exception);
        } else if said.insert((&from.file, &to.file)) {
            let (file, line, path) = (&from.file, arrow.line, &arrow.path);
            let [room, other] = [room, other].map(|room| room.unwrap_or(ROOT));
            findings.push(format!("{file}:{line}: `{path}`: {room} is not above {other} in the map"));
        }
    }
    for (index, exception) in map.exceptions.iter().enumerate() {
        if !needed.contains(&index) {
            let (from, to) = (&exception.from, &exception.to);
            findings.push(format!("no import needs the exception {from} -> {to} any more: take it out of the map"));
        }
    }
}

/// The root is above all floors.
fn floor(map: &Map, room: Option<&str>) -> usize {
    room.and_then(|room| map.floor(room)).unwrap_or(map.floors.len())
}

fn judge_circle(circle: &BTreeSet<&str>, known: Option<usize>, findings: &mut Vec<String>) {
    let files = circle.len();
    let limit = known.unwrap_or(LARGEST_CIRCLE);
    if files > limit {
        findings.push(format!("{files} files use each other in a circle, and {limit} may: {}", list(circle)));
    } else if known.is_some() && files <= LARGEST_CIRCLE {
        findings.push("take `largest circle` out of the map: it is as small as it has to be".to_owned());
    } else if known.is_some() && files < limit {
        findings.push(format!("lower the map's `largest circle` to {files} files"));
    }
}

/// Says what is on each floor, what each room uses, and what the largest circle is.
fn describe(root: &str, modules: &Modules, map: &Map, arrows: &[Arrow], circle: &BTreeSet<&str>) -> String {
    let mut uses: BTreeMap<&str, [BTreeSet<&str>; 2]> = BTreeMap::new();
    for arrow in arrows {
        let [room, other] = [arrow.from, arrow.to].map(|module| map.room(&modules.0[module].path));
        if let Some(room) = room.filter(|_| room != other) {
            let is_up = floor(map, Some(room)) <= floor(map, other);
            uses.entry(room).or_default()[usize::from(is_up)].insert(other.unwrap_or(ROOT));
        }
    }
    let mut text = format!("{root}:\n");
    for (above, rooms) in map.floors.iter().enumerate() {
        for room in rooms {
            let [down, up] = uses.get(room.as_str()).cloned().unwrap_or_default();
            let down = if down.is_empty() { "nothing".to_owned() } else { list(&down) };
            let up = if up.is_empty() { String::new() } else { format!("; upwards {}", list(&up)) };
            let _ = writeln!(text, "  floor {:2}  {room} uses {down}{up}", map.floors.len() - 1 - above);
        }
    }
    let _ = write!(text, "  largest circle: {} files{}", circle.len(), if circle.is_empty() { "" } else { ": " });
    text + &list(circle) + "\n"
}

fn list<'a>(names: impl IntoIterator<Item = &'a &'a str>) -> String {
    names.into_iter().copied().collect::<Vec<_>>().join(", ")
}
