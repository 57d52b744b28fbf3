//! The commands: each turns what was typed into calls of the crates below, and prints the answer.

mod archive;
mod choices;
mod config;
mod conflicts;
mod custody;
mod demo;
mod doctor;
mod duplicates;
mod history;
mod ledger;
mod plan;
mod plugin;
mod rebuild;
mod reviewed;
mod run;
mod sandbox;
mod seal;
mod status;
mod sweep;
mod undo;
mod verify;
mod vocabulary;
mod watch;

pub(crate) use seal::read_key;
use windlass_core::Result;

use crate::args::{
    ArchiveCommand, Cli, Command, CustodyCommand, Global, KeyCommand, LedgerCommand, PluginCommand,
};
use crate::config::{Layered, Overlay, load};
use crate::out::Out;

/// How a command that could run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// All done.
    Done,
    /// Finished, with failures in the report.
    WithFailures,
}

/// Runs what was typed.
pub(crate) async fn run(cli: Cli, out: Out) -> Result<Ended> {
    let global = &cli.global;
    match cli.command {
        Command::Demo(args) => demo::run(&args, global, out).await,
        Command::Sandbox(args) => sandbox::run(&args, out).await,
        Command::Plan(args) => match &args.show {
            Some(file) => plan::show(file, args.steps, out),
            None => plan::plan(&args, &read(global)?, out).await,
        },
        Command::Run(args) => run::run(&args, &read(global)?, out).await,
        Command::Sweep(args) => sweep::run(&args, &read(global)?, out).await,
        Command::Undo(args) => undo::run(&args, &read(global)?, out).await,
        Command::Conflicts(command) => conflicts::run(&command, &read(global)?, out).await,
        Command::Watch(args) => watch::run(&args, global, out).await,
        Command::Status(args) => status::run(&args, &read(global)?, out).await,
        Command::Report(args) => history::report(&args, &read(global)?, out).await,
        Command::Explain(args) => history::explain(&args, &read(global)?, out).await,
        Command::Verify(args) => verify::run(&args, &read(global)?, out).await,
        Command::Vocabulary(args) => vocabulary::run(&args, &read(global)?, out).await,
        Command::Duplicates(args) => duplicates::run(&args, &read(global)?, out).await,
        Command::Ledger(LedgerCommand::Check) => ledger::check(&read(global)?, out).await,
        Command::Ledger(LedgerCommand::Compact) => ledger::compact(&read(global)?, out).await,
        Command::Ledger(LedgerCommand::Copy(args)) => {
            ledger::copy(&args, &read(global)?, out).await
        }
        Command::Ledger(LedgerCommand::Rebuild(args)) => {
            rebuild::run(&args, &read(global)?, out).await
        }
        Command::Ledger(LedgerCommand::Export(args)) => {
            ledger::export(&args, &read(global)?, out).await
        }
        Command::Ledger(LedgerCommand::Backup { file }) => {
            ledger::backup(&file, &read(global)?, out).await
        }
        Command::Custody(CustodyCommand::Export(args)) => {
            custody::export(&args, &read(global)?, out).await
        }
        Command::Custody(CustodyCommand::Verify(args)) => custody::verify(&args, out),
        Command::Archive(ArchiveCommand::Verify(args)) => archive::verify(&args, out).await,
        Command::Archive(ArchiveCommand::Restore(args)) => {
            archive::restore::run(&args, read(global)?, out).await
        }
        Command::Sign(args) => seal::sign(&args, out),
        Command::Key(KeyCommand::New { file }) => seal::new_key(&file, out),
        Command::Key(KeyCommand::Show { file }) => seal::show_key(&file, out),
        Command::Doctor => doctor::run(global, out).await,
        Command::Config(command) => config::run(&command, global, out),
        Command::Plugin(command) => plugin::run(command, global, out).await,
        Command::PluginInspect(args) => {
            plugin::run(PluginCommand::Inspect(args), global, out).await
        }
    }
}

/// Reads the configuration with the environment and the flags laid over it.
fn read(global: &Global) -> Result<Layered> {
    load(&global.config, &overlay(global))
}

fn overlay(global: &Global) -> Overlay {
    // Sorted, so that a parent table and a key in it are laid over in the same order every time.
    let mut environment: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    environment.sort();
    Overlay {
        flags: global.set.clone(),
        environment,
    }
}
