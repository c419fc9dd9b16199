//! The results as a table for people and as JSON for programs, and the table in the documentation.

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::PathBuf;

use serde_json::{Value, json};
use strays::Shape;
use xtask::workspace;

use super::cell::{BACKENDS, Cell, Expected};
use super::contexts::{CONTEXTS, Context};
use super::matrix::Finished;
use super::shapes::shapes;

/// The sign of a cell that did not come out as expected.
const WRONG: char = '!';
/// The sign of a cell that was not tried.
const UNTRIED: char = '.';
/// What stands where a shape makes no sense in a context.
const SENSELESS: &str = "-";

/// The lines around the table in the documentation.
const BEGIN: &str = "<!-- The table of `cargo xtask faults --directed --write-table`. -->";
const END: &str = "<!-- The end of the table. -->";

/// The page of the documentation that has the table.
fn page() -> PathBuf {
    workspace::root().join("docs/protection-keys.md")
}

/// The three signs of a shape in a context, or that it makes no sense there.
fn signs(context: &Context, shape: &Shape, sign: &impl Fn(&Cell) -> char) -> String {
    let of_backend = |protection| {
        let cell = Cell::all().find(|cell| {
            (cell.context.name, cell.shape.name, cell.protection) == (context.name, shape.name, protection)
        })?;
        Some(sign(&cell))
    };
    let signs: String = BACKENDS.into_iter().filter_map(of_backend).collect();
    if signs.is_empty() { SENSELESS.to_owned() } else { signs }
}

/// The sign of each cell among the results.
fn found(finished: &[Finished]) -> impl Fn(&Cell) -> char {
    move |cell| {
        let of_cell = |result: &&Finished| {
            let tried = &result.cell;
            (tried.context.name, tried.shape.name, tried.protection)
                == (cell.context.name, cell.shape.name, cell.protection)
        };
        match finished.iter().find(of_cell) {
            Some(result) if result.wrong.is_empty() => cell.expected().sign(),
            Some(_) => WRONG,
            None => UNTRIED,
        }
    }
}

/// What the signs mean, one line each.
fn legend() -> String {
    let mut legend = String::from("Three signs for each cell: with pks, with pku, and without protection.\n");
    for expected in Expected::ALL {
        let _ = writeln!(legend, "  {}  {}", expected.sign(), expected.meaning());
    }
    legend
}

/// The results for a terminal.
pub fn terminal_table(finished: &[Finished]) -> String {
    let sign = found(finished);
    let width = shapes().map(|shape| shape.name.len()).max().unwrap_or(0);
    let mut table = legend();
    let _ = writeln!(table, "  {WRONG}  not as expected\n  {UNTRIED}  not tried\n");
    for (place, context) in CONTEXTS.iter().enumerate() {
        let _ = writeln!(table, "{:width$} {}+ {}: {}", "", "|   ".repeat(place), context.heading, context.what);
    }
    for shape in shapes() {
        let _ = write!(table, "{:width$}", shape.name);
        for context in &CONTEXTS {
            let _ = write!(table, " {:3}", signs(context, shape, &sign));
        }
        let _ = writeln!(table, "  {}", shape.what);
    }
    table
}

/// The table in the documentation, as it is when every cell is as expected.
pub fn expected_table() -> String {
    markdown(&Cell::expected_sign)
}

impl Cell {
    fn expected_sign(&self) -> char {
        self.expected().sign()
    }
}

fn markdown(sign: &impl Fn(&Cell) -> char) -> String {
    let headings: Vec<&str> = CONTEXTS.iter().map(|context| context.heading).collect();
    let mut table = format!("| | {} |\n|---|{}\n", headings.join(" | "), "---|".repeat(headings.len()));
    for shape in shapes() {
        let cells: Vec<String> = CONTEXTS.iter().map(|context| signs(context, shape, sign)).collect();
        let _ = writeln!(table, "| {} | {} |", shape.what, cells.join(" | "));
    }
    table
}

/// Puts the results into the documentation.
///
/// # Errors
/// When the page cannot be read or written, or has no place for the table.
pub fn write_table(finished: &[Finished]) -> io::Result<()> {
    let text = fs::read_to_string(page())?;
    let (before, _, after) =
        split(&text).ok_or_else(|| io::Error::other(format!("{} has no table", workspace::display(&page()))))?;
    fs::write(page(), format!("{before}{}{after}", markdown(&found(finished))))
}

/// The page around its table, and the table.
fn split(text: &str) -> Option<(&str, &str, &str)> {
    let begin = text.find(BEGIN)? + BEGIN.len() + 1;
    let end = begin + text.get(begin..)?.find(END)?;
    Some((&text[..begin], &text[begin..end], &text[end..]))
}

/// The results for programs.
pub fn json(finished: &[Finished]) -> Value {
    let cell = |result: &Finished| {
        json!({
            "context": result.cell.context.name,
            "shape": result.cell.shape.name,
            "protection": result.cell.backend(),
            "expected": result.cell.expected().sign().to_string(),
            "as_expected": result.wrong.is_empty(),
            "wrong": result.wrong,
            "milliseconds": u64::try_from(result.took.as_millis()).unwrap_or(u64::MAX),
        })
    };
    json!({ "cells": finished.iter().map(cell).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_the_table_of_the_cells_that_there_are() {
        let text = fs::read_to_string(page()).unwrap();
        let (_, table, _) = split(&text).unwrap();
        assert_eq!(table, expected_table(), "`cargo xtask faults --directed --write-table` writes it anew");
    }

    #[test]
    fn a_result_has_its_sign_in_its_place() {
        let cell = Cell::all().next().unwrap();
        let result = |wrong| Finished { cell, wrong, took: std::time::Duration::ZERO };
        assert_eq!(found(&[result(vec![])])(&cell), 'S');
        assert_eq!(found(&[result(vec!["so".into()])])(&cell), '!');
        let other = Cell::all().nth(1).unwrap();
        assert_eq!(found(&[result(vec![])])(&other), '.');
    }
}
