//! Arguments of `init`.

use std::path::PathBuf;

use clap::Args;

use super::FormatArgs;

/// `--help` of the command, which clap takes from the variant.
pub(super) const INIT_LONG: &str = "Asks six questions (OPA's address, Team and key, Opsera's address and token, the token's owner, \
        the domains to look after), tries each credential at once, proposes domains and accounts to \
        protect from what it reads, and writes a settings file with comments. The secrets go into \
        files of their own beside it, mode 0600. Neither directory is changed.";

/// `rolecall init`
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "\
Every answer can be given as an option or as the environment variable of its setting, such as
ROLECALL__OPA__TEAM, and is then not asked for. Without a terminal nothing is asked: what is missing
is named, and the exit status is 2.

Examples:
  rolecall init
  rolecall init --output /etc/rolecall/rolecall.toml
  rolecall init --opa-url https://example.pam.okta.com --opa-team example --opa-key-id KEY \\
      --opa-key-secret-file opa-secret --opsera-token-file opsera-token \\
      --token-owner rolecall@example.com --domain example.com")]
pub struct InitArgs {
    /// Write the settings to FILE (mode 0600), and the secrets beside it
    #[arg(long, value_name = "FILE", default_value = "rolecall.toml")]
    pub output: PathBuf,
    /// Replace what is there already
    #[arg(long)]
    pub force: bool,
    /// Try no credential: write what is answered
    #[arg(long)]
    pub offline: bool,
    /// OPA's address
    #[arg(long, value_name = "URL", help_heading = "Answers")]
    pub opa_url: Option<String>,
    /// The Team's name
    #[arg(long, value_name = "NAME", help_heading = "Answers")]
    pub opa_team: Option<String>,
    /// The id of a service user's key
    #[arg(long, value_name = "ID", help_heading = "Answers")]
    pub opa_key_id: Option<String>,
    /// A file with the key's secret; the settings then name that file
    #[arg(long, value_name = "FILE", help_heading = "Answers")]
    pub opa_key_secret_file: Option<PathBuf>,
    /// Opsera's address
    #[arg(long, value_name = "URL", help_heading = "Answers")]
    pub opsera_url: Option<String>,
    /// A file with Opsera's token; the settings then name that file
    #[arg(long, value_name = "FILE", help_heading = "Answers")]
    pub opsera_token_file: Option<PathBuf>,
    /// The address of the account that owns the token
    #[arg(long, value_name = "EMAIL", help_heading = "Answers")]
    pub token_owner: Option<String>,
    /// A domain to look after; may be given more than once [default: those of the Team's people]
    #[arg(long, value_name = "DOMAIN", help_heading = "Answers")]
    pub domain: Vec<String>,
    /// An account never to touch, or a pattern; may be given more than once [default: what is found]
    #[arg(long, value_name = "EMAIL", help_heading = "Answers")]
    pub protect: Vec<String>,
    /// Certificates (PEM) to trust beside the machine's own
    #[arg(long, value_name = "FILE", help_heading = "Answers")]
    pub ca_file: Option<PathBuf>,
    /// Shape of the result.
    #[command(flatten)]
    pub format: FormatArgs,
}
