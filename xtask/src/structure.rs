//! Rules about the source that no compiler knows.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::command::{Outcome, Place};

/// The longest file, in lines.
const LONGEST_FILE: usize = 500;

/// How many lines above a `sleep` in a test its loop has to begin.
const LOOP_DISTANCE: usize = 8;

pub(crate) fn run(place: &Place) -> Outcome {
    let mut files = Vec::new();
    if let Err(error) = collect(&place.root, &mut files) {
        return Outcome::Failed(format!("could not read the source: {error}"));
    }
    if files.is_empty() {
        return Outcome::Failed("there is no source".to_owned());
    }
    let mut problems = Vec::new();
    for path in &files {
        let name = path.strip_prefix(&place.root).unwrap_or(path);
        match fs::read_to_string(path) {
            Ok(text) => problems.extend(violations(name, &text)),
            Err(error) => problems.push(format!("{}: {error}", name.display())),
        }
    }
    problems.sort();
    Outcome::of(&problems, format!("{} files", files.len()))
}

/// All Rust files below a directory, but for what is generated or hidden.
fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        if entry.file_type()?.is_dir() {
            if name != "target" && !name.to_string_lossy().starts_with('.') {
                collect(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// All that is wrong with one file.
fn violations(path: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut complain = |line: usize, what: &str| found.push(format!("{}:{line}: {what}", path.display()));
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() > LONGEST_FILE {
        complain(lines.len(), "the file is longer than 500 lines: it holds more than one noun or decision");
    }
    let all_test = is_test_file(path);
    // Below `tests/` a mod.rs is how Cargo wants helpers that are no test program of their own.
    let is_mod = !all_test && path.file_name().is_some_and(|name| name == "mod.rs");
    let tests_from = lines.iter().position(|line| line.trim() == "#[cfg(test)]").unwrap_or(usize::MAX);
    // In virtual time a sleep takes none: it says what happens when.
    let is_virtual = lines.iter().any(|line| line.contains("start_paused = true"));
    for (index, line) in lines.iter().enumerate() {
        let code = without_comment(line);
        let in_test = all_test || index > tests_from;
        if is_mod && begins_item(code) && index < tests_from {
            complain(index + 1, "code in a mod.rs: it only declares and re-exports");
        }
        if code.trim_start().starts_with(concat!("#[", "ignore")) {
            complain(index + 1, "an ignored test: make it run or remove it");
        }
        let is_constant = code.trim_start().starts_with("const ");
        if !in_test && !is_constant && code.contains(concat!(".unw", "rap()")) {
            complain(
                index + 1,
                "an unwrap outside of tests: return the error, or prove it away with `expect`",
            );
        }
        if in_test && !is_virtual && waits_for_time(&lines, index) {
            complain(
                index + 1,
                "a test waits for time: wait for a condition, in a loop with a deadline; if the sleep plays \
                 something that takes time, say so in a comment above: `// Simulates …`",
            );
        }
    }
    found
}

/// Files in which everything is a test.
fn is_test_file(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests")
        || path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .is_some_and(|stem| stem == "tests" || stem.starts_with("tests_"))
}

/// A sleep in a test is right inside of a loop, which looks at a condition, and where it plays something slow.
fn waits_for_time(lines: &[&str], index: usize) -> bool {
    let code = without_comment(lines[index]);
    let sleeps = [concat!("time::sl", "eep("), concat!("thread::sl", "eep(")];
    if !sleeps.iter().any(|sleep| code.contains(sleep)) {
        return false;
    }
    if index > 0 && lines[index - 1].trim_start().starts_with("// Simulates ") {
        return false;
    }
    let near = &lines[index.saturating_sub(LOOP_DISTANCE)..=index];
    !near.iter().any(|line| {
        let line = without_comment(line).trim_start();
        ["loop ", "while ", "for "]
            .iter()
            .any(|word| line.starts_with(word) || line.contains(&format!(" {word}")))
    })
}

fn without_comment(line: &str) -> &str {
    if line.trim_start().starts_with("//") { "" } else { line }
}

/// Whether something is defined here that is neither a module nor a re-export.
fn begins_item(code: &str) -> bool {
    let code = code.trim_start();
    let code = code.strip_prefix("pub").map_or(code, |rest| match rest.strip_prefix('(') {
        Some(scope) => scope.split_once(')').map_or("", |(_, rest)| rest.trim_start()),
        None => rest.trim_start(),
    });
    ["fn ", "async fn ", "const ", "static ", "struct ", "enum ", "trait ", "impl", "macro_rules!"]
        .iter()
        .any(|word| code.starts_with(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        violations(Path::new(path), text).len()
    }

    #[test]
    fn files_end_at_500_lines() {
        assert_eq!(found("src/a.rs", &"\n".repeat(500)), 0);
        assert_eq!(found("src/a.rs", &"\n".repeat(501)), 1);
    }

    #[test]
    fn a_mod_file_only_declares_and_re_exports() {
        let good = "//! Words.\n\nmod a;\npub mod b;\n\npub use a::{A, B};\npub type C = A;\n";
        assert_eq!(found("src/x/mod.rs", good), 0);
        for bad in [
            "pub fn a() {}",
            "struct A;",
            "impl A {}",
            "pub(crate) trait T {",
            "pub async fn a() {",
            "const A: u8 = 1;",
        ] {
            assert_eq!(found("src/x/mod.rs", bad), 1, "{bad}");
            assert_eq!(found("src/x/a.rs", bad), 0, "{bad}");
            assert_eq!(found("tests/support/mod.rs", bad), 0, "{bad}");
        }
    }

    #[test]
    fn ignored_tests_are_found() {
        let attribute = concat!("    #[", "ignore]");
        let with_reason = concat!("#[", "ignore = \"slow\"]");
        for line in [attribute, with_reason] {
            assert_eq!(found("tests/a.rs", line), 1, "{line}");
            assert_eq!(found("tests/a.rs", &format!("// {line}")), 0, "{line}");
        }
    }

    #[test]
    fn unwraps_are_for_tests() {
        let call = concat!("    a.unw", "rap();");
        assert_eq!(found("src/a.rs", call), 1);
        assert_eq!(found("src/a.rs", &format!("#[cfg(test)]\nmod tests {{\n{call}\n}}")), 0);
        assert_eq!(found("tests/a.rs", call), 0);
        assert_eq!(found("src/a.rs", &format!("/// {call}")), 0);
        assert_eq!(found("src/a.rs", &format!("const A: B = {call}")), 0);
        assert_eq!(found("examples/a.rs", call), 1);
    }

    #[test]
    fn a_test_may_sleep_in_a_loop_only() {
        let call = concat!("    tokio::time::sl", "eep(SHORT).await;");
        assert_eq!(found("tests/a.rs", call), 1);
        assert_eq!(found("tests/a.rs", &format!("while !done() {{\n{call}\n}}")), 0);
        assert_eq!(found("tests/a.rs", &format!("loop {{\n    x();\n{call}\n}}")), 0);
        assert_eq!(found("src/a.rs", call), 0, "the clock has to");
        assert_eq!(found("tests/a.rs", &format!("    // Simulates a slow server.\n{call}")), 0);
        assert_eq!(found("tests/a.rs", &format!("    // Waits a little.\n{call}")), 1);
        assert_eq!(found("src/a.rs", &format!("#[cfg(test)]\nmod tests {{\n{call}\n}}")), 1);
        assert_eq!(found("tests/a.rs", &format!("loop {{}}\n{}{call}", "\n".repeat(20))), 1);
    }
}
