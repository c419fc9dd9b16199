//! `--directed`: the matrix of stray accesses.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use holdfast_tests::faults::directed::{self, Cell, Context, Finished};
use xtask::workspace;

/// The options of the matrix.
#[derive(Debug, Args)]
pub(crate) struct DirectedOptions {
    /// Try every shape of stray access in every context, with pks, with pku and without protection
    #[arg(long)]
    pub(crate) directed: bool,
    /// Only the run with this number, once more, whose record is printed; with --directed only the cells of this
    /// context or this shape (`nmi`, `fxsave`), or of both (`nmi/fxsave`)
    #[arg(long, value_name = "RUN|CONTEXT/SHAPE")]
    pub(crate) only: Option<String>,
    /// How many machines run at a time [default: one for each processor]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Where the results go for programs [default: faults/directed.json in cargo's output directory]
    #[arg(long, value_name = "FILE", requires = "directed")]
    json: Option<PathBuf>,
    /// Write the table into docs/protection-keys.md
    #[arg(long, requires = "directed", conflicts_with_all = ["only", "protection"])]
    write_table: bool,
}

impl DirectedOptions {
    /// How many machines run at a time.
    pub(crate) fn jobs(&self) -> usize {
        self.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
    }
}

/// Runs the matrix, prints it, and fails unless every cell is as expected.
pub(crate) fn run(options: &DirectedOptions, protection: Option<&str>) -> Result<ExitCode, String> {
    let cells = choose(options.only.as_deref(), protection)?;
    let jobs = options.jobs();
    let (began, mut done) = (Instant::now(), 0);
    let results = directed::run(&cells, jobs, |result| {
        done += 1;
        show_progress(done, cells.len(), result);
    });
    println!("\n{}", directed::terminal_table(&results));
    for complaint in results.iter().filter_map(Finished::complaint) {
        println!("not as expected: {complaint}\n");
    }
    let json = options.json.clone().unwrap_or_else(|| workspace::target_directory().join("faults/directed.json"));
    write_json(&json, &results).map_err(|error| format!("cannot write {}: {error}", json.display()))?;
    if options.write_table {
        directed::write_table(&results).map_err(|error| error.to_string())?;
    }
    let wrong = results.iter().filter(|result| !result.wrong.is_empty()).count();
    println!(
        "{} of {} cells are as expected, in {:.1} s; {}",
        cells.len() - wrong,
        cells.len(),
        began.elapsed().as_secs_f64(),
        workspace::display(&json)
    );
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One line for a terminal every ten cells, and one for each cell that is not as expected.
fn show_progress(done: usize, all: usize, result: &Finished) {
    if !result.wrong.is_empty() {
        println!("[{done}/{all}] {}: NOT AS EXPECTED: {}", result.cell, result.wrong[0]);
    } else if done.is_multiple_of(10) || done == all {
        println!("[{done}/{all}] {}: as expected, {} ms", result.cell, result.took.as_millis());
    }
}

/// The cells that were asked for.
fn choose(only: Option<&str>, protection: Option<&str>) -> Result<Vec<Cell>, String> {
    let (mut context, mut shape) = (None, None);
    for name in only.into_iter().flat_map(|only| only.split('/')) {
        match (Context::named(name), directed::named(name)) {
            (Some(found), _) if context.is_none() => context = Some(found.name),
            (_, Some(found)) if shape.is_none() => shape = Some(found.name),
            _ => return Err(unknown(name)),
        }
    }
    let cells: Vec<Cell> = Cell::all()
        .filter(|cell| context.is_none_or(|name| cell.context.name == name))
        .filter(|cell| shape.is_none_or(|name| cell.shape.name == name))
        .filter(|cell| protection.is_none_or(|name| cell.backend() == name))
        .collect();
    if cells.is_empty() { Err("there is no such cell".to_owned()) } else { Ok(cells) }
}

fn unknown(name: &str) -> String {
    let contexts: Vec<&str> = directed::CONTEXTS.iter().map(|context| context.name).collect();
    let shapes: Vec<&str> = directed::shapes().map(|shape| shape.name).collect();
    format!(
        "`{name}` is no context and no shape, or the second one\n  contexts: {}\n  shapes: {}",
        contexts.join(" "),
        shapes.join(" ")
    )
}

fn write_json(path: &Path, results: &[Finished]) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(path, format!("{:#}\n", directed::json(results)))
}
