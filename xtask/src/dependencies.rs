//! What is in the dependency tree, against the rules in `deny.toml`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{
    command::{Outcome, Place, run as run_command},
    license::is_allowed,
};

/// The rules that this part knows of those that cargo-deny does.
#[derive(Debug, Default, PartialEq, Eq)]
struct Rules {
    banned: BTreeSet<String>,
    once: BTreeSet<String>,
    licenses: Vec<String>,
    registries: Vec<String>,
}

pub(crate) fn run(place: &Place) -> Outcome {
    let rules = match fs::read_to_string(place.root.join("deny.toml")).map(|text| parse(&text)) {
        Ok(Ok(rules)) => rules,
        Ok(Err(why)) => return Outcome::Failed(format!("deny.toml: {why}")),
        Err(error) => return Outcome::Failed(format!("deny.toml: {error}")),
    };
    let mut command = place.cargo(&["metadata", "--format-version", "1", "--all-features", "--locked"]);
    let metadata = match command.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => output.stdout,
        Ok(output) => return Outcome::Failed(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => return Outcome::Failed(format!("could not run {command:?}: {error}")),
    };
    let packages = match serde_json::from_slice::<Value>(&metadata) {
        Ok(mut metadata) => metadata["packages"].take(),
        Err(error) => return Outcome::Failed(format!("cargo metadata: {error}")),
    };
    let packages = packages.as_array().map_or(&[][..], Vec::as_slice);
    if packages.is_empty() {
        return Outcome::Failed("cargo metadata names no packages".to_owned());
    }
    let problems = problems(packages, &rules);
    let mut note = format!("{} packages", packages.len());
    if problems.is_empty() && has_cargo_deny() {
        let command = place.cargo(&["deny", "check", "bans", "licenses", "sources"]);
        if let Err(failed) = run_command(place, "cargo-deny", command) {
            return failed;
        }
        note += ", and cargo-deny agrees";
    }
    Outcome::of(&problems, note)
}

fn has_cargo_deny() -> bool {
    let version =
        Command::new("cargo-deny").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

/// Reads the lists of `deny.toml` line by line, as that file promises to be written.
///
/// # Errors
/// A list that is not found: without it nothing would be checked.
fn parse(text: &str) -> Result<Rules, String> {
    let mut rules = Rules::default();
    let mut list = "";
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if let Some((key, rest)) = line.split_once(" = [") {
            list = key;
            if rest.contains(']') {
                take(&mut rules, list, rest);
                list = "";
            }
        } else if line.starts_with(']') {
            list = "";
        } else {
            take(&mut rules, list, line);
        }
    }
    for (name, is_empty) in [
        ("deny", rules.banned.is_empty()),
        ("allow", rules.licenses.is_empty()),
        ("allow-registry", rules.registries.is_empty()),
    ] {
        if is_empty {
            return Err(format!("the list `{name}` is empty or not found"));
        }
    }
    Ok(rules)
}

fn take(rules: &mut Rules, list: &str, line: &str) {
    let Some(quoted) = line.split('"').nth(1).map(str::to_owned) else { return };
    match list {
        "deny" if line.contains("deny-multiple-versions = true") => drop(rules.once.insert(quoted)),
        "deny" => drop(rules.banned.insert(quoted)),
        "allow" => rules.licenses.push(quoted),
        "allow-registry" => rules.registries.push(quoted),
        _ => {}
    }
}

fn problems(packages: &[Value], rules: &Rules) -> Vec<String> {
    let mut problems = Vec::new();
    let mut versions = BTreeMap::<&str, Vec<&str>>::new();
    for package in packages {
        let text = |key: &str| package[key].as_str().unwrap_or_default();
        let (name, version) = (text("name"), text("version"));
        versions.entry(name).or_default().push(version);
        if rules.banned.contains(name) {
            problems
                .push(format!("{name} {version} is banned; `cargo tree -i {name}` says who brings it in"));
        }
        if !is_allowed(text("license"), &rules.licenses) {
            problems.push(format!(
                "{name} {version} has the licence {:?}, which is not allowed",
                text("license")
            ));
        }
        // A package without a source is one of the workspace.
        let registry = package["source"].as_str().map(|source| source.trim_start_matches("registry+"));
        if let Some(registry) =
            registry.filter(|registry| !rules.registries.iter().any(|known| known == registry))
        {
            problems.push(format!("{name} {version} comes from {registry}, which is not allowed"));
        }
    }
    for (name, versions) in
        versions.iter().filter(|(name, versions)| rules.once.contains(**name) && versions.len() > 1)
    {
        problems.push(format!("{name} is there more than once: {}", versions.join(", ")));
    }
    problems
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

    fn rules() -> Rules {
        parse(include_str!("../../deny.toml")).unwrap()
    }

    fn package(name: &str, version: &str, license: &str, source: Option<&str>) -> Value {
        json!({"name": name, "version": version, "license": license, "source": source})
    }

    #[test]
    fn the_rules_are_read() {
        let rules = rules();
        for name in ["openssl-sys", "native-tls", "aws-lc-sys", "aws-lc-rs", "chrono", "serde_yaml"] {
            assert!(rules.banned.contains(name), "{name} is not banned");
        }
        assert_eq!(
            rules.once.iter().map(String::as_str).collect::<Vec<_>>(),
            ["http", "hyper", "rustls", "tokio"]
        );
        assert!(rules.licenses.contains(&"MIT".to_owned()));
        assert_eq!(rules.registries, [CRATES_IO.trim_start_matches("registry+")]);
        assert!(parse("[bans]\ndeny = []\n").is_err());
    }

    #[test]
    fn a_good_tree_has_no_problems() {
        let tree = [
            package("deployer", "0.1.0", "MIT OR Apache-2.0", None),
            package("tokio", "1.54.1", "MIT", Some(CRATES_IO)),
            package("syn", "2.0.0", "MIT OR Apache-2.0", Some(CRATES_IO)),
            package("syn", "3.0.0", "MIT OR Apache-2.0", Some(CRATES_IO)),
        ];
        assert_eq!(problems(&tree, &rules()), Vec::<String>::new());
    }

    #[test]
    fn each_rule_finds_what_breaks_it() {
        let git = Some("git+https://github.com/x/y");
        let cases = [
            (vec![package("openssl-sys", "0.9.0", "MIT", Some(CRATES_IO))], "banned"),
            (vec![package("x", "1.0.0", "GPL-3.0", Some(CRATES_IO))], "licence"),
            (vec![json!({"name": "x", "version": "1.0.0", "license": null, "source": CRATES_IO})], "licence"),
            (vec![package("x", "1.0.0", "MIT", git)], "comes from"),
            (
                vec![
                    package("http", "0.2.0", "MIT", Some(CRATES_IO)),
                    package("http", "1.0.0", "MIT", Some(CRATES_IO)),
                ],
                "more than once: 0.2.0, 1.0.0",
            ),
        ];
        for (tree, expected) in cases {
            let found = problems(&tree, &rules());
            assert!(found.len() == 1 && found[0].contains(expected), "{expected}: {found:?}");
        }
    }
}
