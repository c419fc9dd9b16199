//! Which file uses which: the paths of a crate, followed through imports and re-exports to where things are defined.

use std::collections::{BTreeMap, BTreeSet};

use super::modules::Modules;

/// Longer chains of re-exports are circles of them.
const LONGEST_CHAIN: usize = 16;

/// A use of one module by another.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Arrow {
    /// The module that uses, as an index.
    pub from: usize,
    /// The one that is used.
    pub to: usize,
    pub line: usize,
    /// As the code writes it.
    pub path: String,
}

/// What a path names.
#[derive(Clone, Copy)]
struct Target {
    /// The module itself, or in which it is.
    module: usize,
    is_module: bool,
}

impl Target {
    fn thing_in(module: usize) -> Self {
        Self { module, is_module: false }
    }
}

impl Modules {
    /// Every use of a file by another, in the order of the modules.
    pub(super) fn arrows(&self) -> Vec<Arrow> {
        let mut arrows = BTreeSet::new();
        // A door uses nothing: who takes something through it does, from where that is defined.
        for (from, module) in self.0.iter().enumerate().filter(|(_, module)| !module.is_door()) {
            for mention in &module.mentions {
                for to in self.used(from, &mention.path, module.globs.contains(&mention.path)) {
                    if self.0[to].file != module.file {
                        arrows.insert(Arrow { from, to, line: mention.line, path: mention.path.join("::") });
                    }
                }
            }
        }
        arrows.into_iter().collect()
    }

    /// The modules that the module `from` uses by a path: that of what it names. A door that is named is not used yet,
    /// but `everything` that it hands on is by `use …::*`.
    fn used(&self, from: usize, path: &[String], everything: bool) -> Vec<usize> {
        let Some(target) = self.resolve(from, path, 0) else { return Vec::new() };
        let module = &self.0[target.module];
        if !(target.is_module && module.is_door()) {
            vec![target.module]
        } else if everything {
            let handed_on = module.imports.iter().map(|(_, path)| path).chain(&module.globs);
            handed_on.filter_map(|path| self.resolve(target.module, path, 0)).map(|target| target.module).collect()
        } else {
            Vec::new()
        }
    }

    /// What `path` means in the module `from`; nothing, if it is of another crate.
    fn resolve(&self, from: usize, path: &[String], chain: usize) -> Option<Target> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.descend(0, rest, chain),
            "self" => self.descend(from, rest, chain),
            "super" => self.descend(self.0[from].parent?, rest, chain),
            name => self.find(from, name, rest, chain),
        }
    }

    /// Follows `path` downwards from `module`. What that does not name is taken for its own: macros may define it.
    fn descend(&self, module: usize, path: &[String], chain: usize) -> Option<Target> {
        match path.split_first() {
            None => Some(Target { module, is_module: true }),
            Some((name, rest)) if name == "super" => self.descend(self.0[module].parent?, rest, chain),
            Some((name, rest)) => self.find(module, name, rest, chain).or(Some(Target::thing_in(module))),
        }
    }

    /// Follows a path that begins with a `name` which `module` knows.
    fn find(&self, module: usize, name: &str, rest: &[String], chain: usize) -> Option<Target> {
        if chain > LONGEST_CHAIN {
            return None;
        }
        let known = &self.0[module];
        let child = known.children.get(name);
        // A module and a function may have one name: what has something below it is the module.
        if let (Some(&child), false) = (child, rest.is_empty()) {
            return self.descend(child, rest, chain);
        }
        if let Some(&owner) = known.items.get(name) {
            return Some(Target::thing_in(owner));
        }
        for (_, path) in known.imports.iter().filter(|(imported, _)| imported == name) {
            // `use log::Log` in a module `log` names another crate's.
            let is_itself = path.len() == 1 && path[0] == name;
            if let (false, Some(owner)) = (is_itself, self.resolve(module, &[path, rest].concat(), chain + 1)) {
                return Some(owner);
            }
        }
        child.map(|&module| Target { module, is_module: true }).or_else(|| {
            known.globs.iter().find_map(|path| {
                let source = self.resolve(module, path, chain + 1)?.module;
                if source == module {
                    return None;
                }
                self.find(source, name, rest, chain + 1)
            })
        })
    }

    /// The largest set of files of which each uses each, by way of others or directly. A folder's `mod.rs` is left out:
    /// its parts may use what they have in common there.
    pub(super) fn largest_circle(&self, arrows: &[Arrow]) -> BTreeSet<&str> {
        let mut uses: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for arrow in arrows {
            let [from, to] = [arrow.from, arrow.to].map(|module| self.0[module].file.as_str());
            if ![from, to].iter().any(|file| file.ends_with("/mod.rs")) {
                uses.entry(from).or_default().insert(to);
            }
        }
        let reached: BTreeMap<_, _> = uses.keys().map(|&file| (file, reachable(&uses, file))).collect();
        let circles = reached.iter().map(|(file, from_it)| {
            let is_back = |other: &&&str| reached.get(**other).is_some_and(|others| others.contains(file));
            from_it.iter().filter(is_back).copied().collect::<BTreeSet<_>>()
        });
        circles.max_by_key(BTreeSet::len).unwrap_or_default()
    }
}

/// What can be come to from `start` in one step or more.
fn reachable<'a>(uses: &BTreeMap<&'a str, BTreeSet<&'a str>>, start: &'a str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open = vec![start];
    while let Some(file) = open.pop() {
        for &next in uses.get(file).into_iter().flatten() {
            if reached.insert(next) {
                open.push(next);
            }
        }
    }
    reached
}
