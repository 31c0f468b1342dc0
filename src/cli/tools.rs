//! Arguments of the commands around the job: `demo`, `sandbox`, `config`, `completions`, `man`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::{FormatArgs, TableFormat};

/// `--help` of the command below, which clap takes from the variant.
pub(super) const DEMO_LONG: &str = "Starts both directories as a simulation on this machine, with an invented organisation, and does \
        the whole job on it: a dry run, the real run, a look at the audit log, and a second run that \
        finds nothing left to do. Needs no settings, no token and no network.";

/// `rolecall demo`
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// People in the invented organisation
    #[arg(long, value_name = "N", default_value_t = 250, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub users: u32,
    /// The same seed invents the same organisation
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Keep store, settings and report in DIR to look at afterwards
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

/// `--help` of the command below, which clap takes from the variant.
pub(super) const SANDBOX_LONG: &str = "Serves simulations of both directories on this machine until interrupted: the same paths, \
        bodies, status codes, paging, token expiry, rate limits and refusals. Everything is in \
        memory and gone at the end.";

/// `rolecall sandbox`
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "\
Examples:
  rolecall sandbox --users 500 --write-config sandbox.toml
  rolecall --config sandbox.toml sync --dry-run       (in a second terminal)")]
pub struct SandboxArgs {
    /// People in the invented organisation. Some have two records in OPA, some none; service users
    /// come on top
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub users: u32,
    /// The same seed invents the same organisation
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Answer each request only after this long
    #[arg(long, value_name = "D", default_value = "0s", value_parser = humantime::parse_duration)]
    pub latency: Duration,
    /// Share of requests that fail, from 0 to 1
    #[arg(long, value_name = "R", default_value_t = 0.0, value_parser = share)]
    pub error_rate: f64,
    /// Requests per second and directory before it answers 429 [default: no limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rate_limit: Option<u32>,
    /// Requests in an hour before OPA answers 429; its own limit is 10000 [default: 1000000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub quota: Option<u64>,
    /// Records that a page of OPA holds at most
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub page_limit: u32,
    /// What happens to a request for more records than that
    #[arg(long, value_name = "WHAT", default_value = "clamp")]
    pub oversized_count: OversizedCountArg,
    /// Forms in which OPA links its pages
    #[arg(long, value_name = "FORMS", default_value = "plain")]
    pub link_forms: LinkFormsArg,
    /// Port of the simulated OPA; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub opa_port: u16,
    /// Port of the simulated Opsera; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub opsera_port: u16,
    /// Write settings for this sandbox to FILE (mode 0600) instead of printing them
    #[arg(long, value_name = "FILE")]
    pub write_config: Option<PathBuf>,
    /// Shape of what is printed
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: TableFormat,
}

/// `--oversized-count`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OversizedCountArg {
    /// A page with as many records as allowed
    Clamp,
    /// 400
    Refuse,
}

/// `--link-forms`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LinkFormsArg {
    /// One rel="next", as OPA sends it
    Plain,
    /// Every form that RFC 8288 allows, in turn
    All,
}

fn share(text: &str) -> Result<f64, String> {
    text.parse::<f64>()
        .ok()
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "must be a number from 0 to 1".to_owned())
}

/// `rolecall config`
#[derive(Clone, Debug, Args)]
pub struct ConfigArgs {
    /// What to do with the settings.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What `rolecall config` can do.
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show every setting in effect and where it came from, secrets hidden
    #[command(
        long_about = "Shows every setting in effect and where it came from: a file, an environment variable or \
            the built-in default. Secrets are hidden. If something is wrong with the settings, that is \
            said on standard error afterwards and the exit status is 1."
    )]
    Show {
        /// Shape of the result.
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Print the JSON Schema of a settings file
    #[command(
        long_about = "Prints the JSON Schema of a settings file. An editor with a TOML language server completes \
            keys and marks mistakes when the file's first line names it: #:schema ./rolecall.schema.json."
    )]
    Schema {
        /// Shape of the result: a JSON Schema is JSON
        #[arg(long, value_name = "FORMAT", default_value = "json")]
        format: JsonFormat,
    },
}

/// `--format json` of a command that prints nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum JsonFormat {
    /// For programs
    Json,
}

/// `rolecall completions`
#[derive(Clone, Copy, Debug, Args)]
#[command(after_long_help = "\
Examples:
  rolecall completions bash > /etc/bash_completion.d/rolecall
  rolecall completions zsh > \"${fpath[1]}/_rolecall\"
  rolecall completions fish > ~/.config/fish/completions/rolecall.fish")]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// `rolecall man`
#[derive(Clone, Debug, Args)]
pub struct ManArgs {
    /// Where to write the pages
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}
