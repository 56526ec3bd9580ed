// SPDX-License-Identifier: GPL-2.0-only

//! `make sim-mutants`: are the simulator's checkers awake? Each fault of `tests/mutants/faults` is switched on in a copy of
//! the engine, and seeds are played until a checker finds it. A fault that nobody finds is a missing checker or event.

mod fault;
mod tree;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Mutex;
use std::time::Instant;

use clap::Parser;
use fault::Fault;

/// Tries deliberate faults in the engine against the simulator's checkers.
#[derive(Parser)]
struct Arguments {
    /// Only those whose name contains one of these words.
    names: Vec<String>,
    /// Only those that are found within seconds.
    #[arg(long)]
    quick: bool,
    /// Also those that are known not to be found yet.
    #[arg(long)]
    all: bool,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Seeds that a fault is given, where it does not say so itself.
    #[arg(long, default_value_t = 1500)]
    seeds: u64,
    /// Write the table to this file, as Markdown.
    #[arg(long)]
    table: Option<PathBuf>,
}

impl Arguments {
    fn wants(&self, fault: &Fault) -> bool {
        let named = self
            .names
            .iter()
            .any(|name| fault.name.contains(name.as_str()));
        (named || self.names.is_empty())
            && (fault.quick || !self.quick)
            && (self.all || fault.not_found.is_none())
    }
}

/// What became of a fault.
struct Result {
    name: String,
    why: String,
    caught: bool,
    seeds: u64,
    checker: String,
    words: String,
}

impl Result {
    fn outgrown(fault: &Fault, why: String) -> Self {
        Self {
            name: fault.name.clone(),
            why: fault.why.clone(),
            caught: false,
            seeds: 0,
            checker: String::new(),
            words: format!("it does not fit the engine any more: {why}"),
        }
    }
}

fn main() {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(survivors) => std::process::exit(i32::from(survivors > 0)),
        Err(why) => {
            eprintln!("{why}");
            std::process::exit(2);
        }
    }
}

fn run(arguments: &Arguments) -> std::result::Result<usize, String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let top = here.ancestors().nth(2).ok_or("where am I?")?;
    let copy = top.join("build/mutants");
    let faults = Fault::all(&here.join("faults"))?;
    // What the engine has outgrown is as good as a survivor, and does not keep the others from being tried. All are looked at, and
    // built, also where a few are tried: else those that are tried seldom are outgrown unseen.
    let mut outgrown = Vec::new();
    if !arguments.all && !arguments.quick {
        for fault in &faults {
            if let Some(reason) = &fault.not_found {
                eprintln!(
                    "{:44} not tried, for nobody finds it yet: {reason}",
                    fault.name
                );
            }
        }
    }
    let faults: Vec<Fault> = faults
        .into_iter()
        .filter(|fault| match tree::does_not_apply(top, fault) {
            Some(why) => {
                outgrown.push(Result::outgrown(fault, why));
                false
            }
            None => true,
        })
        .collect();
    tree::make(top, &copy, &faults)?;
    let program = build(&copy)?;
    // The simulator has to be content with the engine as it is: the number of no fault.
    let mut tasks = vec![(0, None)];
    let numbered = faults.iter().enumerate();
    let wanted = numbered.filter(|(_, fault)| arguments.wants(fault));
    tasks.extend(wanted.map(|(number, fault)| (number + 1, Some(fault))));
    let began = Instant::now();
    let mut results = try_all(arguments, &program, &tasks)?;
    results.extend(outgrown);
    results.sort_by(|one, other| one.name.cmp(&other.name));
    report(arguments, &results, began)
}

fn build(copy: &Path) -> std::result::Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "-q", "-p", "drbd-mutants-inside", "--target-dir"])
        .arg(copy.join("target"))
        .current_dir(copy.join("tests"))
        // The faults need not be pretty.
        .env("RUSTFLAGS", "--cap-lints allow")
        .status()
        .map_err(|why| format!("cargo: {why}"))?;
    if built.success() {
        Ok(copy.join("target/debug/drbd-mutants-inside"))
    } else {
        Err("a fault does not compile where it is put: see above".into())
    }
}

fn try_all(
    arguments: &Arguments,
    program: &Path,
    tasks: &[(usize, Option<&Fault>)],
) -> std::result::Result<Vec<Result>, String> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((number, fault)) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = try_one(arguments, program, *number, *fault);
                    eprintln!("{}", line_of(&result));
                    if let Ok(mut results) = results.lock() {
                        results.push(result);
                    }
                }
            });
        }
    });
    results.into_inner().map_err(|_| "a thread panicked".into())
}

fn try_one(arguments: &Arguments, program: &Path, number: usize, fault: Option<&Fault>) -> Result {
    let seeds = match fault {
        None if arguments.quick => 20,
        None => 100,
        Some(fault) => fault.seeds.unwrap_or(0).max(arguments.seeds),
    };
    let words = [number as u64, arguments.first, seeds].map(|word| word.to_string());
    let story = fault.and_then(|fault| fault.story.as_ref());
    let output = Command::new(program).args(words).args(story).output();
    let text = match &output {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(why) => format!("caught\t0\tnot run\t{why}"),
    };
    let mut parts = text.trim_end().splitn(4, '\t');
    let mut part = || parts.next().unwrap_or_default().to_owned();
    let (what, took, checker, words) = (part(), part(), part(), part());
    Result {
        name: fault.map_or_else(|| "(no fault)".into(), |fault| fault.name.clone()),
        why: fault.map_or_else(|| "The engine as it is.".into(), |fault| fault.why.clone()),
        // A process that died, from a stack overflow say, was noticed as well.
        caught: what != "survived",
        seeds: took.parse().unwrap_or(0),
        checker: if what.is_empty() {
            "died".into()
        } else {
            checker
        },
        words,
    }
}

fn line_of(result: &Result) -> String {
    let Result {
        name,
        seeds,
        checker,
        words,
        ..
    } = result;
    if result.caught {
        let words: String = words.chars().take(110).collect();
        format!("{name:44} caught by {checker:26} after {seeds:>4} seeds: {words}")
    } else {
        format!("{name:44} survived {seeds} seeds: {words}")
    }
}

fn report(
    arguments: &Arguments,
    results: &[Result],
    began: Instant,
) -> std::result::Result<usize, String> {
    let (control, faults): (Vec<&Result>, Vec<&Result>) = results
        .iter()
        .partition(|result| result.name == "(no fault)");
    let survivors: Vec<&&Result> = faults.iter().filter(|result| !result.caught).collect();
    println!(
        "{} faults, {} caught, in {} seconds",
        faults.len(),
        faults.len() - survivors.len(),
        began.elapsed().as_secs()
    );
    for survivor in &survivors {
        println!("{}: {}", line_of(survivor), survivor.why);
    }
    if let Some(table) = &arguments.table {
        let mut text =
            String::from("| fault | what is wrong | caught by | seeds |\n|---|---|---|---|\n");
        for Result {
            name,
            why,
            checker,
            seeds,
            caught,
            ..
        } in &faults
        {
            let checker = if *caught { checker } else { "nobody" };
            text.push_str(&format!("| {name} | {why} | {checker} | {seeds} |\n"));
        }
        std::fs::write(table, text).map_err(|why| format!("{}: {why}", table.display()))?;
    }
    if let Some(control) = control.iter().find(|result| result.caught) {
        return Err(format!("the engine without a fault: {}", line_of(control)));
    }
    Ok(survivors.len())
}
