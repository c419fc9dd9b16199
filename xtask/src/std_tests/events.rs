//! What libtest says in its JSON format, line by line.

use serde_json::Value;

/// One line of libtest's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A test is there (`--list`).
    Discovered(String),
    /// A test begins.
    Started(String),
    /// A test has passed.
    Passed(String),
    /// A test has failed, and what it printed.
    Failed(String, String),
    /// A test is not run, and why.
    Ignored(String, String),
    /// All that were to run have run: how many failed, and how many were left out by name.
    Finished { failed: u64, filtered_out: u64 },
    /// All have been listed.
    Listed,
    /// Nothing that matters here: the beginning of all, or a test that takes long.
    Other,
}

/// Reads a line; `None` if it is not libtest's.
pub(super) fn parse(line: &str) -> Option<Event> {
    if !line.starts_with("{ \"type\": ") {
        return None;
    }
    let value: Value = serde_json::from_str(line).ok()?;
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let count = |key: &str| value[key].as_u64().unwrap_or_default();
    Some(match (value["type"].as_str()?, value["event"].as_str()?) {
        ("suite", "ok" | "failed") => Event::Finished { failed: count("failed"), filtered_out: count("filtered_out") },
        ("suite", "completed") => Event::Listed,
        ("test" | "bench", "discovered") => Event::Discovered(text("name")),
        ("test" | "bench", "started") => Event::Started(text("name")),
        ("test" | "bench", "ok") => Event::Passed(text("name")),
        ("test" | "bench", "failed") => {
            let said = [text("stdout"), text("message"), text("reason")];
            Event::Failed(text("name"), said.iter().filter(|part| !part.is_empty()).map(String::as_str).collect())
        }
        ("test" | "bench", "ignored") => Event::Ignored(text("name"), text("message")),
        _ => Event::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_line_is_read() {
        for (line, expected) in [
            (r#"{ "type": "suite", "event": "started", "test_count": 2 }"#, Event::Other),
            (r#"{ "type": "test", "event": "started", "name": "a::b" }"#, Event::Started("a::b".into())),
            (r#"{ "type": "test", "name": "a::b", "event": "ok" }"#, Event::Passed("a::b".into())),
            (
                r#"{ "type": "test", "name": "c", "event": "failed", "stdout": "one\ntwo", "message": "three" }"#,
                Event::Failed("c".into(), "one\ntwothree".into()),
            ),
            (
                r#"{ "type": "test", "name": "d", "event": "ignored", "message": "no threads" }"#,
                Event::Ignored("d".into(), "no threads".into()),
            ),
            (r#"{ "type": "test", "name": "d", "event": "timeout" }"#, Event::Other),
            (
                r#"{ "type": "suite", "event": "failed", "passed": 1, "failed": 2, "ignored": 0, "measured": 0, "filtered_out": 3 }"#,
                Event::Finished { failed: 2, filtered_out: 3 },
            ),
            (
                r#"{ "type": "test", "event": "discovered", "name": "e", "ignore": false }"#,
                Event::Discovered("e".into()),
            ),
            (r#"{ "type": "suite", "event": "completed", "tests": 1 }"#, Event::Listed),
        ] {
            assert_eq!(parse(line), Some(expected), "{line}");
        }
    }

    #[test]
    fn what_a_test_prints_is_not_libtests() {
        for line in ["", "{}", "holdfast: 4-level paging", r#"{ "type": "test", "name": "cut"#, "{ \"type\": 7 }"] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
