//! What the workspace depends on: licences, sources, versions, and whether it is used. `deny.toml` has the lists; the
//! hosted CI has cargo-deny look at it too, and at the advisories, for which one has to reach their database.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use spdx::{Expression, ParseMode};

use super::tracked_files;
use crate::cargo::host_cargo;
use crate::output::say;
use crate::workspace;

/// The rules for dependencies, which cargo-deny reads too.
const RULES: &str = "deny.toml";

/// Checks the dependencies of all members, those of their tests included.
pub(super) fn check() -> Result<()> {
    let metadata = metadata()?;
    let packages = Package::all(&metadata)?;
    let rules = fs::read_to_string(workspace::root().join(RULES)).context("cannot read deny.toml")?;
    let rules = Rules::read(&rules)?;
    let mut findings = Vec::new();
    for package in &packages {
        package.judge(&rules, &mut findings);
    }
    find_duplicates(&packages, &rules, &reachable(&metadata)?, &mut findings);
    for package in packages.iter().filter(|package| package.is_member()) {
        find_unused(package, &mut findings)?;
    }
    if !findings.is_empty() {
        bail!("{}", findings.join("\n"));
    }
    say(format_args!("{} packages have allowed licences and known sources", packages.len()));
    Ok(())
}

/// The names of the packages that cargo means when none is named.
pub(super) fn default_members() -> Result<Vec<String>> {
    let metadata = metadata()?;
    let ids = metadata["workspace_default_members"].as_array().context("cargo metadata names no default members")?;
    let packages = Package::all(&metadata)?;
    Ok(packages
        .into_iter()
        .filter(|package| ids.iter().any(|id| id == package.id))
        .map(|package| package.name.to_owned())
        .collect())
}

/// The root files of the members' libraries and programs, relative to the repository; not those of tests and of images
/// for tests.
pub(super) fn crate_roots() -> Result<Vec<String>> {
    let metadata = metadata()?;
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let members = packages.iter().filter(|package| package["source"].is_null());
    let targets = members.filter_map(|package| package["targets"].as_array()).flatten();
    let paths =
        targets.filter_map(|target| Path::new(target["src_path"].as_str()?).strip_prefix(workspace::root()).ok());
    let roots = paths.filter(|path| path.ends_with("src/lib.rs") || path.ends_with("src/main.rs"));
    Ok(roots.map(|path| path.display().to_string()).collect())
}

/// What the rules allow.
struct Rules<'a> {
    /// Licences, each by its SPDX name; an expression needs one of its alternatives made of these alone.
    licences: Vec<&'a str>,
    /// Crates of which more than one version may be linked.
    duplicates: Vec<&'a str>,
}

impl<'a> Rules<'a> {
    fn read(text: &'a str) -> Result<Self> {
        let strings = |list: &str| {
            let (_, rest) = text.split_once(list).with_context(|| format!("{RULES} has no `{list}`"))?;
            let (list, _) = rest.split_once("\n]").with_context(|| format!("the list behind `{list}` has no end"))?;
            // Every second piece is a string.
            Ok::<_, anyhow::Error>(list.lines().filter_map(|line| line.split('"').nth(1)).collect::<Vec<_>>())
        };
        let duplicates = strings("\nskip = [")?;
        let duplicates = duplicates.into_iter().filter_map(|named| named.split('@').next()).collect();
        Ok(Self { licences: strings("\nallow = [")?, duplicates })
    }
}

/// What cargo says of the workspace's packages and all that they depend on.
pub(super) fn metadata() -> Result<Value> {
    let output =
        host_cargo("metadata").args(["--format-version", "1", "--locked"]).output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("cargo metadata says no JSON")
}

struct Package<'a> {
    id: &'a str,
    name: &'a str,
    version: &'a str,
    licence: Option<&'a str>,
    source: Option<&'a str>,
    manifest: &'a Path,
    dependencies: Vec<&'a str>,
}

impl<'a> Package<'a> {
    fn all(metadata: &'a Value) -> Result<Vec<Self>> {
        let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
        packages
            .iter()
            .map(|package| Self::new(package).context("a package without a name in cargo metadata"))
            .collect()
    }

    fn new(package: &'a Value) -> Option<Self> {
        let dependencies = package["dependencies"].as_array()?.iter();
        Some(Self {
            id: package["id"].as_str()?,
            name: package["name"].as_str()?,
            version: package["version"].as_str()?,
            licence: package["license"].as_str(),
            source: package["source"].as_str(),
            manifest: Path::new(package["manifest_path"].as_str()?),
            dependencies: dependencies
                .filter_map(|dependency| dependency["rename"].as_str().or(dependency["name"].as_str()))
                .collect(),
        })
    }

    fn is_member(&self) -> bool {
        self.source.is_none()
    }

    fn judge(&self, rules: &Rules<'_>, findings: &mut Vec<String>) {
        match self.licence {
            Some(licence) if is_allowed(licence, &rules.licences) => {}
            Some(licence) => {
                findings.push(format!("{} {}: the licence {licence} is not allowed", self.name, self.version))
            }
            None => findings.push(format!("{} {}: has no licence", self.name, self.version)),
        }
        if self.source.is_some_and(|source| !source.starts_with("registry+") && !source.starts_with("sparse+")) {
            findings.push(format!(
                "{} {}: comes from {}, not from a registry",
                self.name,
                self.version,
                self.source.unwrap_or_default()
            ));
        }
    }
}

/// Whether an SPDX expression allows the use under these licences. `/` is the old way to write OR.
fn is_allowed(expression: &str, licences: &[&str]) -> bool {
    let expression = Expression::parse_mode(expression, ParseMode::LAX);
    expression.is_ok_and(|expression| {
        expression.evaluate(|wanted| wanted.license.id().is_some_and(|id| licences.contains(&id.name)))
    })
}

/// The packages that are compiled for the host or the guest; the lock file also has those of other systems.
fn reachable(metadata: &Value) -> Result<BTreeSet<&str>> {
    let nodes = metadata["resolve"]["nodes"].as_array().context("cargo metadata has no dependency graph")?;
    let edges: BTreeMap<&str, Vec<&str>> = nodes
        .iter()
        .filter_map(|node| {
            let dependencies = node["deps"].as_array()?.iter().filter(|dependency| is_ours(dependency));
            Some((node["id"].as_str()?, dependencies.filter_map(|dependency| dependency["pkg"].as_str()).collect()))
        })
        .collect();
    let members = metadata["workspace_members"].as_array().context("cargo metadata names no members")?;
    let mut todo: Vec<&str> = members.iter().filter_map(Value::as_str).collect();
    let mut reached = BTreeSet::new();
    while let Some(id) = todo.pop() {
        if reached.insert(id) {
            todo.extend(edges.get(id).into_iter().flatten());
        }
    }
    Ok(reached)
}

/// Whether a dependency is compiled for Linux or the guest, as far as its condition tells.
fn is_ours(dependency: &Value) -> bool {
    let kinds = dependency["dep_kinds"].as_array().into_iter().flatten();
    kinds.into_iter().any(|kind| {
        kind["target"].as_str().is_none_or(|target| {
            ["windows", "macos", "apple", "wasm", "wasi", "redox", "android", "ios", "uefi", "aarch64", "loom"]
                .iter()
                .all(|other| !target.contains(other))
        })
    })
}

fn find_duplicates(
    packages: &[Package<'_>],
    rules: &Rules<'_>,
    reachable: &BTreeSet<&str>,
    findings: &mut Vec<String>,
) {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages.iter().filter(|package| reachable.contains(package.id)) {
        versions.entry(package.name).or_default().insert(package.version);
    }
    for name in &rules.duplicates {
        if versions.get(name).is_none_or(|versions| versions.len() < 2) {
            findings.push(format!("{name}: only one version is linked now; take it off the list of known duplicates"));
        }
    }
    let is_known = |name: &str| rules.duplicates.contains(&name);
    for (name, versions) in versions.iter().filter(|(name, versions)| versions.len() > 1 && !is_known(name)) {
        let list: Vec<_> = versions.iter().copied().collect();
        findings.push(format!("{name}: {} versions are linked: {}", list.len(), list.join(", ")));
    }
}

/// The files that a source file has as modules by their paths from it.
fn taken_in(source: &str) -> impl Iterator<Item = &str> {
    source.split("#[path = \"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0))
}

/// Finds dependencies of a member that no source file of it mentions, those of others that it takes in included.
fn find_unused(package: &Package<'_>, findings: &mut Vec<String>) -> Result<()> {
    let directory = package.manifest.parent().context("a manifest without a directory")?;
    let directory = directory.strip_prefix(workspace::root()).context("a member outside the checkout")?;
    let mut sources = String::new();
    for name in tracked_files()?.iter().filter(|name| name.ends_with(".rs") && Path::new(name).starts_with(directory)) {
        let path = workspace::root().join(name);
        // A file that is staged for removal is listed and not there.
        let source = fs::read_to_string(&path).unwrap_or_default();
        for other in taken_in(&source) {
            sources.push_str(&fs::read_to_string(path.with_file_name(other)).unwrap_or_default());
        }
        sources.push_str(&source);
    }
    for dependency in &package.dependencies {
        if !uses(&sources, &dependency.replace('-', "_")) {
            findings.push(format!("{}: the dependency {dependency} is not used", package.name));
        }
    }
    Ok(())
}

/// Whether Rust source mentions a crate: as the beginning of a path, or by its name after `use` or `crate`.
fn uses(source: &str, name: &str) -> bool {
    source.match_indices(name).any(|(at, _)| {
        let before = source[..at].chars().next_back();
        let after = &source[at + name.len()..];
        let whole = before.is_none_or(|character| !(character.is_alphanumeric() || character == '_'));
        let path = after.starts_with("::");
        let named = ["use ", "crate ", "use ::"].iter().any(|word| source[..at].ends_with(word))
            && !after.starts_with(|character: char| character.is_alphanumeric() || character == '_');
        whole && (path || named)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LICENCES: [&str; 4] = ["Apache-2.0", "MIT", "Unicode-3.0", "Zlib"];

    #[test]
    fn a_file_of_another_package_that_is_taken_in_is_found() {
        let source = "mod a;\n#[path = \"../b/c.rs\"]\nmod c;\n";
        assert_eq!(taken_in(source).collect::<Vec<_>>(), ["../b/c.rs"]);
    }

    #[test]
    fn the_rules_are_those_of_the_file_that_cargo_deny_reads() {
        let text = "# x\n[licenses]\nallow = [\n    \"MIT\",\n    \"ISC\",\n]\n\n[bans]\nskip = [\n    { crate = \"a@1\", reason = \"b\" },\n]\n";
        let rules = Rules::read(text).unwrap();
        assert_eq!((rules.licences, rules.duplicates), (vec!["MIT", "ISC"], vec!["a"]));
        assert!(Rules::read("[licenses]\n").is_err());
    }

    #[test]
    fn licence_expressions_are_judged_as_spdx_means_them() {
        for good in [
            "MIT",
            "MIT OR GPL-3.0-only",
            "GPL-3.0-only OR (MIT AND Zlib)",
            "MIT/Apache-2.0",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT",
        ] {
            assert!(is_allowed(good, &LICENCES), "{good}");
        }
        for bad in ["GPL-3.0-only", "MIT AND GPL-2.0-only", "", "OR MIT", "(MIT", "(GPL-2.0-only OR MPL-2.0) AND MIT"] {
            assert!(!is_allowed(bad, &LICENCES), "{bad}");
        }
    }

    #[test]
    fn a_crate_is_used_when_a_path_begins_with_it() {
        assert!(uses("use libos as _;", "libos"));
        assert!(uses("let x = serde_json::Value::Null;", "serde_json"));
        assert!(uses("extern crate alloc;", "alloc"));
        assert!(!uses("// talc is an allocator", "talc"));
        assert!(!uses("use mytalc::Talc;", "talc"));
        assert!(!uses("use talc2;", "talc"));
    }

    fn duplicates(packages: &[(&'static str, &'static str)]) -> Vec<String> {
        let packages: Vec<_> = packages
            .iter()
            .map(|&(name, version)| Package {
                id: version,
                name,
                version,
                licence: None,
                source: None,
                manifest: Path::new(""),
                dependencies: vec![],
            })
            .collect();
        let mut findings = Vec::new();
        // Version 3 is one that only another system's packages want.
        let rules = Rules { licences: vec![], duplicates: vec!["known"] };
        find_duplicates(&packages, &rules, &BTreeSet::from(["1", "2"]), &mut findings);
        findings
    }

    #[test]
    fn two_versions_of_one_crate_are_reported_once() {
        let known = [("known", "1"), ("known", "2")].into_iter();
        let all: Vec<_> = known.chain([("a", "1"), ("a", "2"), ("a", "3"), ("b", "1"), ("b", "3")]).collect();
        assert_eq!(duplicates(&all), ["a: 2 versions are linked: 1, 2"]);
    }

    #[test]
    fn a_known_duplicate_that_is_none_any_more_is_reported() {
        assert_eq!(
            duplicates(&[]),
            ["known: only one version is linked now; take it off the list of known duplicates"]
        );
    }

    #[test]
    fn the_default_members_include_this_package() {
        assert!(default_members().unwrap().contains(&"xtask".to_owned()));
    }
}
