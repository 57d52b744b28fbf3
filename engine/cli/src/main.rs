//! The `windlass` command: the one crate that names all others and reads the environment.
//!
//! Exit status: 0 all done, 1 finished with failures, 2 could not run.

mod args;
mod calls;
mod commands;
mod config;
mod files;
mod flows;
mod interrupt;
mod out;
mod page;
mod progress;
mod text;
mod wiring;

use std::process::ExitCode;

use out::Out;
use windlass_core::{Error, Kind};

fn main() -> ExitCode {
    let cli = args::parse();
    let out = Out {
        json: cli.global.json,
        quiet: cli.global.quiet,
    };
    log_to_stderr(&cli.global);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let ended = match runtime {
        Ok(runtime) => {
            let ended = runtime.block_on(commands::run(cli, out));
            // Blocking file work that is still going on is not waited for for ever.
            runtime.shutdown_timeout(std::time::Duration::from_secs(2));
            ended
        }
        Err(error) => {
            Err(Error::new(Kind::Unexpected, "the runtime cannot start").with_source(error))
        }
    };
    match ended {
        Ok(commands::Ended::Done) => ExitCode::SUCCESS,
        Ok(commands::Ended::WithFailures) => ExitCode::from(1),
        Err(error) => {
            out.error(&error);
            ExitCode::from(2)
        }
    }
}

/// Sends the log to stderr: warnings by default, more with `-v`, or what `WINDLASS_LOG` asks for.
fn log_to_stderr(global: &args::Global) {
    use tracing_subscriber::EnvFilter;
    let level = match (global.quiet, global.verbose) {
        (true, _) => "off",
        (false, 0) => "windlass=warn,error",
        (false, 1) => "windlass=info,warn",
        (false, _) => "windlass=debug,info",
    };
    // Target names of our crates all start with `windlass`.
    let filter = EnvFilter::try_from_env("WINDLASS_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .without_time()
        .init();
}
