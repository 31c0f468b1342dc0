//! How a run of the program ended, as its exit status (§1).

/// The exit statuses that scripts, systemd and Kubernetes may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExitStatus {
    /// Nothing to do, or all done; a dry run that finds changes too.
    Done,
    /// It could not be done: settings, credentials, an incomplete pull.
    Failed,
    /// The command line was not understood.
    Usage,
    /// A guard holds the plan.
    Held,
    /// Finished, but some actions failed.
    Partial,
    /// Another run is in progress on the same store.
    AnotherRun,
    /// With `--dry-run --exit-code`: there are differences.
    Differences,
}

impl ExitStatus {
    /// The number that the process ends with.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Held => 3,
            Self::Partial => 4,
            Self::AnotherRun => 5,
            Self::Differences => 6,
        }
    }
}

impl From<ExitStatus> for std::process::ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}

#[cfg(test)]
mod tests {
    use super::ExitStatus::{AnotherRun, Differences, Done, Failed, Held, Partial, Usage};

    #[test]
    fn the_numbers_are_the_contract() {
        let all = [Done, Failed, Usage, Held, Partial, AnotherRun, Differences];
        assert_eq!(all.map(super::ExitStatus::code), [0, 1, 2, 3, 4, 5, 6]);
    }
}
