//! The program's own log: standard error, as text or as JSON.
//!
//! The level comes from `log.level`; `-v` and `-q` move it. The crates below the directory clients
//! are kept quiet, and never let down to `trace`, where they would print request headers and with
//! them the tokens.

use std::io::IsTerminal as _;

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{EnvFilter, ParseError, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use crate::settings::{LogFormat, LogSettings};

/// Crates that see requests as they go over the wire.
const WIRE: [&str; 8] = [
    "h2",
    "hyper",
    "hyper_util",
    "reqwest",
    "rustls",
    "tower",
    "want",
    "hyper_rustls",
];

/// Crates that say much of little interest.
const NOISY: [&str; 10] = [
    "h2",
    "hyper",
    "hyper_rustls",
    "hyper_util",
    "reqwest",
    "rustls",
    "sqlx",
    "tokio_cron_scheduler",
    "tower",
    "want",
];

/// What the command line says about the log.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogOptions {
    /// `--log-format`, which beats `log.format`.
    pub format: Option<LogFormat>,
    /// How often `-v` was given, less how often `-q` was.
    pub verbosity: i16,
    /// Whether colours are wanted; `None`: on a terminal, unless `NO_COLOR` says no.
    pub colour: Option<bool>,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// `log.level` passed validation but not the filter's own parser.
    #[error("log.level is not a log filter")]
    Filter(#[from] ParseError),
    /// Something else in this process set it up already.
    #[error("logging is set up already")]
    Twice(#[from] TryInitError),
}

/// Sets up logging for the whole process. To be called once.
pub fn start(settings: &LogSettings, options: LogOptions) -> Result<(), LoggingError> {
    let filter = EnvFilter::builder()
        .with_regex(false)
        .parse(directives(&settings.level, options.verbosity))?;
    let terminal = std::io::stderr().is_terminal();
    let colour = options
        .colour
        .unwrap_or_else(|| terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()));
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let layer = match (options.format.or(settings.format), terminal) {
        (Some(LogFormat::Text), _) | (None, true) => layer.with_ansi(colour).boxed(),
        (Some(LogFormat::Json), _) | (None, false) => layer
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .boxed(),
    };
    tracing_subscriber::registry()
        .with(
            layer
                .with_filter(filter)
                .with_filter(filter_fn(is_harmless)),
        )
        .try_init()?;
    Ok(())
}

/// The filter's directives: the setting, moved by the command line, then the noisy crates.
fn directives(level: &str, verbosity: i16) -> String {
    // The filter's parser does not forgive the spaces that people put after commas.
    let level: String = level.chars().filter(|c| !c.is_whitespace()).collect();
    let (own, noisy) = match verbosity {
        ..=-3 => ("off", LevelFilter::OFF),
        -2 => ("error", LevelFilter::ERROR),
        -1 => ("warn", LevelFilter::WARN),
        0 => (level.as_str(), LevelFilter::WARN),
        1 => ("debug", LevelFilter::WARN),
        _ => ("trace", LevelFilter::DEBUG),
    };
    let named = |module: &str| {
        own.split(',')
            .filter_map(|directive| directive.trim().split_once('='))
            .any(|(target, _)| target.split("::").next() == Some(module))
    };
    let base = own.parse::<LevelFilter>().ok();
    NOISY
        .iter()
        // What the operator names by hand stays as it is.
        .filter(|module| !named(module))
        .map(|module| {
            let noisy = base.map_or(noisy, |base| base.min(noisy));
            format!("{module}={noisy}")
        })
        .fold(own.to_owned(), |all, next| format!("{all},{next}"))
}

/// Whether a record cannot hold a credential, as far as the level tells.
fn is_harmless(metadata: &Metadata<'_>) -> bool {
    let module = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() <= Level::DEBUG || !WIRE.contains(&module)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_moves_the_level_both_ways() {
        assert!(directives("info", 0).starts_with("info,"));
        assert!(directives("info", 1).starts_with("debug,"));
        assert!(directives("error", 2).starts_with("trace,"));
        assert!(directives("info", -1).starts_with("warn,"));
        assert!(directives("info", -9).starts_with("off,"));
        assert!(directives("off", 0).contains("hyper=off"));
    }

    #[test]
    fn noisy_crates_are_capped_unless_named_by_hand() {
        assert!(directives("trace", 0).contains("hyper=warn"));
        assert!(directives("info", 2).contains("reqwest=debug"));
        let named = directives("info,hyper::client=debug", 0);
        assert!(named.contains("hyper::client=debug") && !named.contains("hyper=warn"));
    }

    #[test]
    fn every_combination_is_a_filter() {
        for level in [
            "info",
            "off",
            "info,rolecall::queue=debug",
            "rolecall=trace",
            " INFO , rolecall::queue=3",
            "4",
        ] {
            for verbosity in -4..5 {
                EnvFilter::builder()
                    .with_regex(false)
                    .parse(directives(level, verbosity))
                    .unwrap();
            }
        }
    }

    #[test]
    fn crates_that_see_headers_never_reach_trace() {
        use std::io::Write;
        use std::sync::{Arc, Mutex};
        #[derive(Clone, Default)]
        struct Captured(Arc<Mutex<Vec<u8>>>);
        impl Write for Captured {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = tracing_subscriber::registry().with(
            tracing_subscriber::fmt::layer()
                .with_writer(move || writer.clone())
                .with_filter(EnvFilter::new("trace,hyper=trace"))
                .with_filter(filter_fn(is_harmless)),
        );
        tracing::subscriber::with_default(subscriber, || {
            tracing::trace!(target: "hyper::proto", "canary-header");
            tracing::trace!(target: "rolecall::queue", "own-trace");
            tracing::debug!(target: "hyper::proto", "wire-debug");
        });
        let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
        assert!(!text.contains("canary-header"), "{text}");
        assert!(
            text.contains("own-trace") && text.contains("wire-debug"),
            "{text}"
        );
    }
}
