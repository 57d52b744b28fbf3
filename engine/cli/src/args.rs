//! What can be typed. What it means is decided in `commands`.

use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use windlass_core::ByteSize;
use windlass_core::sign::PublicKey;
use windlass_flow::Tolerance;

/// Moves creative archives between Dropbox and CELUM, and can prove afterwards what it did.
#[derive(Debug, Parser)]
#[command(name = "windlass", version, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that every command takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// The configuration file
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "windlass.toml",
        env = "WINDLASS_CONFIG"
    )]
    pub(crate) config: PathBuf,
    /// Sets one value of the configuration, such as limits.memory=1GiB; may be repeated
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Prints data as JSON, one value a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Says more on stderr; twice says much more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Says nothing on stderr but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

/// The commands. Their groups are in [`GROUPS`].
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Does the main job on two emulated services, without any account
    Demo(DemoArgs),
    /// Serves emulated Dropbox and CELUM on loopback until it is stopped
    Sandbox(SandboxArgs),
    /// Shows what a flow would do, and why
    Plan(PlanArgs),
    /// Plans a flow and does it; goes on where an interrupted run stopped
    Run(RunArgs),
    /// Takes back what may not be seen any more, and places nothing
    ///
    /// Asks about every file that the flow has placed whether it may still be there. Withdraws what may not, and proves
    /// that it is gone. With --every it goes on until it is stopped, and also looks when a right was said to end.
    Sweep(SweepArgs),
    /// Puts back what a run took away, as far as rights allow and it is kept
    ///
    /// What a release flow took away and keeps in its quarantine goes back to where it was, if nobody changed it and the
    /// place is free. It belongs to the flow again; the reason for which it was taken away does not count again, and any
    /// other does. What rights took away stays away. What was deleted or replaced is named with what may help.
    Undo(UndoArgs),
    /// Lists what two sides disagree about, shows both versions, and notes what is chosen
    #[command(subcommand)]
    Conflicts(ConflictsCommand),
    /// Keeps flows going: when something changes, and at their times
    ///
    /// Listens for changes where a service rings, and looks every so often where none does. Every flow is also looked at
    /// as a whole now and then, so that a change of which nobody told is not lost. SIGTERM and Ctrl-C end it in order: no pass
    /// begins any more, and what is in flight may end; once more ends it at once. SIGHUP reads the configuration again; one
    /// that is not in order changes nothing.
    Watch(WatchArgs),
    /// Shows what the daemon does and what waits, and the newest runs
    ///
    /// Asks the daemon at `watch.listen`, for two seconds at most: what each flow does and how far it is, what comes next
    /// and why, how its last pass ended, until when everything was looked at, and what is held back. Then lists the newest
    /// runs of the ledger, which is all that there is where no daemon answers.
    Status(StatusArgs),
    /// Shows what a run did
    Report(ReportArgs),
    /// Shows why an asset is where it is, or why not: from the listing to the proof
    Explain(ExplainArgs),
    /// Holds both sides beside the ledger and names how every file stands
    ///
    /// Of flows out of a library: every copy that is to be delivered, was placed or was withdrawn, and everything else
    /// in the flow's folders. Writes nothing. Exit status 1 where something is not as it was left, is visible although
    /// rights have ended, or is there although it was withdrawn.
    Verify(VerifyArgs),
    /// Notes values that the other side's vocabularies do not have, for people to decide about once
    ///
    /// Plans the flow and adds each such value to the flow's vocabulary file, with the entry that it is closest to.
    /// Whoever gives it an entry there, or says that it is new or left out, has decided for all files. Nothing is
    /// written at the other side. Exit status 1 while something is undecided.
    Vocabulary(VocabularyArgs),
    /// Finds files that have the same bytes, before anything moves
    Duplicates(DuplicatesArgs),
    /// Copies, exports, checks, compacts and rebuilds the ledger
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Exports what was done as a document that proves itself, and checks one
    #[command(subcommand)]
    Custody(CustodyCommand),
    /// Proves the archive of a closed campaign, and restores one
    #[command(subcommand)]
    Archive(ArchiveCommand),
    /// Signs a plan file or a custody export
    Sign(SignArgs),
    /// Makes and shows the keys that sign
    #[command(subcommand)]
    Key(KeyCommand),
    /// Looks whether everything that the configuration names works
    Doctor,
    /// Shows, checks or describes the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Builds, tests, measures and inspects plugins
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Shows what a component is and whether it would load
    #[command(hide = true)]
    PluginInspect(InspectArgs),
}

/// Commands by subject, for the help. A test holds this list to [`Command`].
pub(crate) const GROUPS: &[(&str, &[&str])] = &[
    ("Try it", &["demo", "sandbox"]),
    (
        "Move assets",
        &[
            "duplicates",
            "plan",
            "run",
            "sweep",
            "watch",
            "conflicts",
            "undo",
        ],
    ),
    (
        "See what happened",
        &["status", "report", "explain", "verify", "ledger"],
    ),
    ("Stand for it", &["custody", "archive", "sign", "key"]),
    ("Set it up", &["doctor", "config", "plugin", "vocabulary"]),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TreeSize {
    /// Several hundred files, more than 1 GiB
    Full,
    /// A few dozen files, a few MiB
    Small,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct SandboxBasics {
    /// What contents, names and faults are made from
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Milliseconds that each call takes at least
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub(crate) latency: u64,
    /// What goes wrong at the emulated Dropbox, such as
    /// `rate=25MB;route=files/download,nth=3,do=reset-after;p=0.05,do=503`
    #[arg(long, value_name = "PROFILE")]
    pub(crate) dropbox_faults: Option<String>,
    /// What goes wrong at the emulated CELUM, in the same words
    #[arg(long, value_name = "PROFILE")]
    pub(crate) celum_faults: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct DemoArgs {
    /// Where the emulated services and the ledger are kept, so that a second demo finds them
    #[arg(long, value_name = "DIR", default_value = ".windlass/demo")]
    pub(crate) dir: PathBuf,
    /// How much there is to move
    #[arg(long, value_enum, default_value_t = TreeSize::Full)]
    pub(crate) size: TreeSize,
    /// Forgets what an earlier demo left in the folder
    #[arg(long)]
    pub(crate) fresh: bool,
    #[command(flatten)]
    pub(crate) basics: SandboxBasics,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct SandboxArgs {
    /// Keeps the services' state in this folder instead of in memory
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Fills the emulated Dropbox with an agency's tree
    #[arg(long, value_enum, value_name = "SIZE")]
    pub(crate) fill: Option<TreeSize>,
    /// Hashes what is uploaded and forgets it, to measure with more than memory holds
    #[arg(long, conflicts_with_all = ["dir", "fill"])]
    pub(crate) forgetful: bool,
    /// Files of noise in a folder of the emulated Dropbox that take no memory, such as `/films=20x200MiB`
    #[arg(long, value_name = "FOLDER=COUNTxSIZE", conflicts_with = "dir")]
    pub(crate) noise: Vec<Noise>,
    /// Upload calls that the emulated team's Dropbox plan includes a month; further ones are refused
    #[arg(long, value_name = "N")]
    pub(crate) monthly_calls: Option<u64>,
    /// The first of five ports; free ones are taken when not given
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,
    /// Serves all ports over TLS, with certificates made for this one sandbox
    #[arg(long, requires = "tls_ca")]
    pub(crate) tls: bool,
    /// Where to write the certificate that clients of --tls and --by-host must trust
    #[arg(long, value_name = "FILE", alias = "ca-file")]
    pub(crate) tls_ca: Option<PathBuf>,
    /// Answers over TLS under Dropbox's own host names too, for tools whose hosts are fixed
    #[arg(long, value_name = "ADDRESS:PORT", requires = "tls_ca")]
    pub(crate) by_host: Option<std::net::SocketAddr>,
    #[command(flatten)]
    pub(crate) basics: SandboxBasics,
}

/// Files of noise: how many, how large, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Noise {
    pub(crate) folder: String,
    pub(crate) count: u64,
    pub(crate) bytes: u64,
}

impl std::str::FromStr for Noise {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text
            .split_once('=')
            .and_then(|(folder, what)| Some((folder, what.split_once('x')?)));
        let (folder, (count, size)) =
            parts.ok_or("it is not of the form /folder=COUNTxSIZE".to_owned())?;
        let bytes: ByteSize = size.parse().map_err(|error| format!("{error}"))?;
        Ok(Noise {
            folder: folder.to_owned(),
            count: count.parse().map_err(|error| format!("{error}"))?,
            bytes: bytes.0,
        })
    }
}

#[derive(Clone, Debug, Args)]
pub(crate) struct PlanArgs {
    /// The flow, as the configuration names it
    #[arg(required_unless_present = "show", conflicts_with = "show")]
    pub(crate) flow: Option<String>,
    /// Shows a saved plan instead, and who signed it; asks nobody
    #[arg(long, value_name = "FILE")]
    pub(crate) show: Option<PathBuf>,
    /// Saves the plan to a file that does not exist yet, to be reviewed and run later
    #[arg(long, value_name = "FILE", conflicts_with_all = ["show", "against"])]
    pub(crate) save: Option<PathBuf>,
    /// Signs what is saved with this key; may be repeated
    #[arg(long, value_name = "KEY", requires = "save")]
    pub(crate) sign: Vec<PathBuf>,
    /// Shows how the plan differs from a saved one
    #[arg(long, value_name = "FILE", conflicts_with = "show")]
    pub(crate) against: Option<PathBuf>,
    /// Lists every asset with its step, not only sums and reasons
    #[arg(long, conflicts_with = "save")]
    pub(crate) steps: bool,
    /// Tries again what an earlier run held, although nothing about it changed
    #[arg(long)]
    pub(crate) retry_held: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct SweepArgs {
    /// The flow
    pub(crate) flow: String,
    /// Looks again after so long, such as 30s or 5m
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) every: Option<std::time::Duration>,
    /// Withdraws more than flow.NAME.max_removals for other reasons than rights
    #[arg(long)]
    pub(crate) over_cap: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct UndoArgs {
    /// The run's id
    pub(crate) run: String,
    /// Shows what would be put back, and why the rest would not; changes nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ConflictsCommand {
    /// Lists what waits for a choice, or for the pass that carries it out
    List(ConflictsListArgs),
    /// Shows both sides of one, and what each choice does
    Show(SubjectArgs),
    /// Notes a choice about just these two revisions; the next pass carries it out
    Resolve(ConflictsResolveArgs),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ConflictsListArgs {
    /// Only those of this flow
    pub(crate) flow: Option<String>,
    /// Ends with exit status 1 while one is undecided, or was met by more than 10 passes and is still there
    #[arg(long)]
    pub(crate) check: bool,
}

/// One conflict.
#[derive(Clone, Debug, Args)]
pub(crate) struct SubjectArgs {
    /// The flow, as the configuration names it
    pub(crate) flow: String,
    /// The subject as `conflicts list` shows it, or the path of the file
    pub(crate) subject: String,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ConflictsResolveArgs {
    #[command(flatten)]
    pub(crate) subject: SubjectArgs,
    #[command(flatten)]
    pub(crate) choice: Choice,
}

/// One of them.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Choice {
    /// The file is what the asset becomes
    #[arg(long)]
    pub(crate) take_file: bool,
    /// The asset is what the file becomes
    #[arg(long)]
    pub(crate) take_asset: bool,
    /// Both stay as they are until either changes again
    #[arg(long)]
    pub(crate) keep_both: bool,
    /// Takes an earlier choice back
    #[arg(long)]
    pub(crate) undecided: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct WatchArgs {
    /// The flows; when not given all that need no signatures
    #[arg(value_name = "FLOW")]
    pub(crate) flows: Vec<String>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct RunArgs {
    /// The flow, as the configuration names it
    #[arg(required_unless_present = "plan")]
    pub(crate) flow: Option<String>,
    /// Does what this saved plan says, and nothing else
    #[arg(long, value_name = "FILE")]
    pub(crate) plan: Option<PathBuf>,
    /// How much of the saved plan may have changed since, in steps or as a share such as 0.5%
    #[arg(long, value_name = "N|N%", requires = "plan", default_value = "0")]
    pub(crate) tolerance: Tolerance,
    /// Gives up an interrupted run that is not this plan's; what it did stays
    #[arg(long, requires = "plan")]
    pub(crate) abandon: bool,
    /// Replaces or withdraws more than max_removals allows without a reviewed plan
    #[arg(long, conflicts_with = "plan")]
    pub(crate) over_cap: bool,
    /// Stops in order after this long, such as 90m or 8h; the next run goes on from there
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) stop_after: Option<std::time::Duration>,
    /// Begins although the month's calls will not suffice, and stops when they are spent
    #[arg(long)]
    pub(crate) over_budget: bool,
    /// Tries again what an earlier run held, although nothing about it changed
    #[arg(long)]
    pub(crate) retry_held: bool,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum CustodyCommand {
    /// Writes who did what to which file, and when: chained, sealed, signed
    Export(CustodyExportArgs),
    /// Proves an export; needs no ledger, no network and no configuration
    Verify(CustodyVerifyArgs),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct CustodyExportArgs {
    /// A file that does not exist yet
    pub(crate) file: PathBuf,
    /// Only what this run did
    #[arg(long, value_name = "RUN", conflicts_with = "after")]
    pub(crate) run: Option<String>,
    /// Only what happened since this earlier export, chained to it
    #[arg(long, value_name = "FILE")]
    pub(crate) after: Option<PathBuf>,
    /// Signs it with this key; may be repeated
    #[arg(long, value_name = "KEY")]
    pub(crate) sign: Vec<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct CustodyVerifyArgs {
    /// The export
    pub(crate) file: PathBuf,
    /// Must be signed by this public key; may be repeated
    #[arg(long, value_name = "ed25519:…")]
    pub(crate) key: Vec<PublicKey>,
    /// Must begin where this earlier export ends
    #[arg(long, value_name = "FILE")]
    pub(crate) after: Option<PathBuf>,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ArchiveCommand {
    /// Proves an archive from its folder; needs no ledger, no network and no configuration
    ///
    /// Every file that the manifest names is read. Exit status 1 where something is not as it was archived, or where the
    /// archive is not signed by whom it must be.
    Verify(ArchiveVerifyArgs),
    /// Puts what an archive holds back into a library
    ///
    /// Current originals and related documents become assets with the title, asset type, fields and availability that
    /// they had, in collections that are named here, never where they were. Not restored are relations, older versions,
    /// renditions, tags and locks; the plan counts them. It is a flow as any other: what is restored is not restored
    /// again, what is interrupted goes on, and status, report and explain know of it.
    Restore(ArchiveRestoreArgs),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ArchiveVerifyArgs {
    /// The archive's folder
    pub(crate) dir: PathBuf,
    /// Must be signed by this key or one of those named so: a public key, or a file with a public or a secret one
    #[arg(long, value_name = "KEY")]
    pub(crate) signer: Vec<String>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ArchiveRestoreArgs {
    #[command(flatten)]
    pub(crate) archive: ArchiveVerifyArgs,
    /// The library, an endpoint of the configuration
    #[arg(long, value_name = "ENDPOINT")]
    pub(crate) to: String,
    /// The collection for originals
    #[arg(long, value_name = "PATH")]
    pub(crate) collection: String,
    /// The collection for related documents; when not given `Documents` in that collection
    #[arg(long, value_name = "PATH")]
    pub(crate) documents: Option<String>,
    /// Leaves out this field, such as one that the library does not have; may be repeated
    #[arg(long, value_name = "FIELD")]
    pub(crate) without: Vec<String>,
    /// Restores what is intact of an archive that is damaged
    #[arg(long)]
    pub(crate) damaged: bool,
    /// Shows what would be done, and does nothing
    #[arg(long)]
    pub(crate) plan: bool,
    /// Lists every asset with its step, not only sums and reasons
    #[arg(long, requires = "plan")]
    pub(crate) steps: bool,
    /// Tries again what an earlier run held, although nothing about it changed
    #[arg(long)]
    pub(crate) retry_held: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct SignArgs {
    /// The sealed file
    pub(crate) file: PathBuf,
    /// The secret key, as `windlass key new` or openssl wrote it
    #[arg(long, value_name = "KEY")]
    pub(crate) key: PathBuf,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Makes a key: the secret half goes to the file, the public half is printed
    New {
        /// A file that does not exist yet
        file: PathBuf,
    },
    /// Prints the public half of a key
    Show {
        /// The secret key
        file: PathBuf,
    },
}

#[derive(Clone, Debug, Args)]
pub(crate) struct StatusArgs {
    /// Only this flow
    #[arg(long, value_name = "FLOW")]
    pub(crate) flow: Option<String>,
    /// At most this many runs
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) limit: u32,
    /// Ends with exit status 1 unless a daemon answers, is ready, and the last pass of each flow ended without a failure
    #[arg(long)]
    pub(crate) check: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ReportArgs {
    /// The run's id; the newest when not given
    pub(crate) run: Option<String>,
    /// The newest run of this flow
    #[arg(long, value_name = "FLOW", conflicts_with = "run")]
    pub(crate) flow: Option<String>,
    /// As what; --json is one of them
    #[arg(long, value_enum, default_value_t = ReportFormat::Text, conflicts_with = "json")]
    pub(crate) format: ReportFormat,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct DuplicatesArgs {
    /// The flow, as the configuration names it
    pub(crate) flow: String,
    /// A row for each file, for a spreadsheet
    #[arg(long, conflicts_with = "json")]
    pub(crate) csv: bool,
    /// Reckons the time that is saved by so many bytes a second, such as 40MB; by the last run of the flow when not given
    #[arg(long, value_name = "BYTES")]
    pub(crate) rate: Option<ByteSize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// Sums and reasons for the terminal
    Text,
    /// A line for each file, for programs, and one with the sums, what was withdrawn and who gets what
    Json,
    /// A row for each file, for a spreadsheet
    Csv,
    /// One page with charts, withdrawals and coverage, for people who do not read logs
    Html,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The asset: its path at the source, or its id at the sink
    pub(crate) asset: String,
    /// Only what this flow did with it
    #[arg(long, value_name = "FLOW")]
    pub(crate) flow: Option<String>,
    /// What this run did with it; the newest that did anything when not given
    #[arg(long, value_name = "RUN", conflicts_with = "flow")]
    pub(crate) run: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The flow, as the configuration names it
    pub(crate) flow: String,
    /// Reads back and hashes everything that looks right
    #[arg(long)]
    pub(crate) deep: bool,
    /// The folder or collection that is listed; the flow's own when not given. What was placed elsewhere is asked for
    /// one by one. For flows that bring something in
    #[arg(long, value_name = "PATH")]
    pub(crate) within: Option<String>,
    /// Lists every file, not only those that are not as they were left
    #[arg(long)]
    pub(crate) files: bool,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Shows every value and where it came from
    Show,
    /// Checks the configuration without reaching anything
    Check,
    /// Prints the JSON schema of the configuration file
    Schema,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    /// Looks whether the ledger is whole; it may be in use
    Check,
    /// Gives back the room that the ledger does not need any more; nobody may use it meanwhile
    Compact,
    /// Copies a ledger to another place, such as from a file to a PostgreSQL server; nobody may use it meanwhile
    Copy(LedgerCopyArgs),
    /// Makes a lost ledger again from what is stamped on the files at the sinks
    Rebuild(LedgerRebuildArgs),
    /// Writes every row as a line of text, sealed, for other tools and for longer than a database lasts
    Export(LedgerExportArgs),
    /// Writes a complete copy to a file that does not exist yet
    Backup {
        /// The copy
        file: PathBuf,
    },
}

#[derive(Clone, Debug, Args)]
#[command(
    after_help = "A place is a SQLite file, the postgres: URL of a database without a password, or env:NAME for a \
    variable that holds such a URL with one. Without one, PGPASSWORD and ~/.pgpass are asked."
)]
pub(crate) struct LedgerCopyArgs {
    /// The ledger
    pub(crate) from: String,
    /// A file that does not exist yet, or an empty database
    pub(crate) to: String,
}

#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Every flow's source is listed and every sink, and each file that is at its sink becomes known again: by the \
    stamp on it, or by its bytes in its place. Nothing is changed but the ledger, and what it knows stays. Who did what \
    before the ledger was lost, and files whose source is gone, are not on the files."
)]
pub(crate) struct LedgerRebuildArgs {
    /// The flow; every flow of the configuration when not given
    pub(crate) flow: Option<String>,
    /// The folder or collection that is looked at; when not given the flow's own, or everything where a plugin chooses
    #[arg(long, value_name = "PATH", requires = "flow")]
    pub(crate) within: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct LedgerExportArgs {
    /// A file that does not exist yet
    pub(crate) file: PathBuf,
    /// Signs it with this key; may be repeated
    #[arg(long, value_name = "KEY")]
    pub(crate) sign: Vec<PathBuf>,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Writes a project to start a plugin from, which builds at once and whose cases hold
    New(PluginNewArgs),
    /// Builds a plugin from its source folder
    Build {
        /// The folder with the plugin's Cargo.toml, package.json or pyproject.toml
        dir: PathBuf,
        /// Where what is made is put; several plugins that share a folder share what they have in common. When not given
        /// `target` in the plugin's workspace
        #[arg(long, value_name = "DIR")]
        target_dir: Option<PathBuf>,
    },
    /// Looks at everything that can be wrong with a plugin before it has a configuration
    ///
    /// The version of the interface, the hooks, imports that no plugin is given, the size, whether it starts, and whether
    /// it has cases; each with what to do.
    Check(PluginArgs),
    /// Runs a plugin's cases: which asset gets which verdict
    ///
    /// The cases are TOML files, run against the built component under the same limits as a run. What differs is
    /// shown line by line: `-` what the case expects, `+` what came.
    Test(PluginTestArgs),
    /// Measures what a plugin costs on the assets of its cases
    ///
    /// One batch at a time, each on a fresh instance as in a run, with one asset and with 256; the cases' assets
    /// in turn. Where there are few, a batch has the same folders again, which plugins may do faster.
    Bench(PluginBenchArgs),
    /// Shows what a component is and whether it would load
    Inspect(InspectArgs),
    /// Names a component in the configuration, pinned by its digest
    ///
    /// The component is copied beside the configuration file and loaded as a run would load it; only if that goes
    /// well is it named in the file, under [plugin.NAME]. Runs that are under way keep the plugin that they began with.
    Install(InstallArgs),
    /// Shows what another plugin would change, asset by asset and field by field, before it is installed
    ///
    /// Both plugins are asked about everything that the flow takes, placed or not. Nothing is written, at neither side
    /// nor in the ledger; only calls on which a plugin fails are noted beside it.
    Shadow(ShadowArgs),
    /// Makes a call again on which a plugin failed
    ///
    /// A run writes such calls down, each with all that decided it: the asset, the configuration, what was looked up,
    /// the limits. Nothing else is needed but the component.
    Replay(ReplayArgs),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct VocabularyArgs {
    /// The flow
    pub(crate) flow: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LanguageArg {
    /// Small and fast; needs a compiler for WebAssembly
    Rust,
    /// 18 MB with the interpreter; needs python3
    Python,
    /// 1 MB with the interpreter; needs node and npm
    Js,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum HookArg {
    /// What an asset becomes
    Metadata,
    /// Whether an asset may leave
    Rights,
    /// Where an asset is to appear
    Localization,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct PluginNewArgs {
    /// The plugin's name: lower-case words with hyphens between them
    pub(crate) name: String,
    /// The language
    #[arg(long, value_enum, default_value_t = LanguageArg::Rust)]
    pub(crate) lang: LanguageArg,
    /// What the plugin is asked
    #[arg(long, value_enum, default_value_t = HookArg::Metadata)]
    pub(crate) hook: HookArg,
    /// The folder to write; when not given one of the plugin's name
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct InstallArgs {
    /// The plugin's source folder, which is built, or a component file
    pub(crate) plugin: PathBuf,
    /// Its name in the configuration: the table [plugin.NAME]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ShadowArgs {
    /// The flow
    pub(crate) flow: String,
    /// The other plugin: a source folder, which is built, or a component file
    pub(crate) plugin: PathBuf,
    /// A TOML file with what the other plugin is told; when not given what the flow's plugin is told
    #[arg(long, value_name = "FILE")]
    pub(crate) plugin_config: Option<PathBuf>,
}

/// A plugin with its cases.
#[derive(Clone, Debug, Args)]
pub(crate) struct PluginArgs {
    /// The plugin's source folder, which is built, or a component file
    pub(crate) plugin: PathBuf,
    /// The folder or file with the cases; when not given `cases` in the source folder, or beside the component
    #[arg(long, value_name = "PATH")]
    pub(crate) cases: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct PluginTestArgs {
    #[command(flatten)]
    pub(crate) plugin: PluginArgs,
    /// Writes what came into the cases that differ or expect nothing yet
    #[arg(long)]
    pub(crate) bless: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct PluginBenchArgs {
    #[command(flatten)]
    pub(crate) plugin: PluginArgs,
    /// How long each file of cases is measured with each size of batch; at least 100 batches are
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "1s")]
    pub(crate) time: std::time::Duration,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The call: a file in the folder beside the ledger whose name ends in `.failed-calls`
    pub(crate) file: PathBuf,
    /// The plugin to ask, such as a mended one: a source folder, which is built, or a component file; the one that failed
    /// when not given
    #[arg(long, value_name = "PATH")]
    pub(crate) plugin: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct InspectArgs {
    /// The component file, or a source folder, which is built
    pub(crate) file: PathBuf,
}

/// Parses the command line; help lists commands by subject.
pub(crate) fn parse() -> Cli {
    let matches = command().get_matches();
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// The command line's definition with grouped help.
pub(crate) fn command() -> clap::Command {
    let command = Cli::command();
    let mut listing = String::from("Commands:");
    for (group, names) in GROUPS {
        listing.push_str(&format!("\n  {group}:"));
        for name in *names {
            let about = command
                .find_subcommand(name)
                .and_then(clap::Command::get_about)
                .map(ToString::to_string)
                .unwrap_or_default();
            listing.push_str(&format!("\n    {name:<10} {about}"));
        }
    }
    listing.push_str("\n\nExit status: 0 all done, 1 finished with failures, 2 could not run.");
    command
        .help_template(
            "{about-with-newline}\n{usage-heading} {usage}{after-help}\n\nOptions:\n{options}",
        )
        .after_help(listing)
}

/// A duration as people write it.
fn duration(text: &str) -> Result<std::time::Duration, String> {
    let span: jiff::SignedDuration = text.parse().map_err(|error| format!("{error}"))?;
    std::time::Duration::try_from(span).map_err(|_| "it is negative".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_lists_every_command_that_is_not_hidden() {
        let mut listed: Vec<&str> = GROUPS
            .iter()
            .flat_map(|(_, names)| *names)
            .copied()
            .collect();
        let command = Cli::command();
        let mut known: Vec<&str> = command
            .get_subcommands()
            .filter(|command| !command.is_hide_set())
            .map(clap::Command::get_name)
            .collect();
        listed.sort_unstable();
        known.sort_unstable();
        assert_eq!(listed, known);
    }

    #[test]
    fn the_definition_holds_together() {
        command().debug_assert();
    }
}
