//! Who wrote an entry.

use std::fmt;
use std::os::unix::fs::MetadataExt as _;

/// The machine, the user and the program that write to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The machine's name.
    pub host: String,
    /// The user's name, or `uid:N` where the machine has no name for it.
    pub user: String,
    /// The program's version.
    pub version: String,
}

impl Actor {
    /// This process. The name comes from the user id where the machine knows it, because a
    /// variable can say anything.
    pub fn of_this_process() -> Self {
        Self {
            host: gethostname::gethostname().to_string_lossy().into_owned(),
            user: user_name(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// `user@host`: who decided, in a plan or an action.
impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.user, self.host)
    }
}

fn user_name() -> String {
    let Ok(uid) = std::fs::metadata("/proc/self").map(|own| own.uid()) else {
        return std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned());
    };
    std::fs::read_to_string("/etc/passwd")
        .ok()
        .and_then(|passwd| name_in_passwd(&passwd, uid))
        .or_else(|| std::env::var("USER").ok().filter(|name| !name.is_empty()))
        .unwrap_or_else(|| format!("uid:{uid}"))
}

fn name_in_passwd(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_id_is_looked_up_by_number_and_not_by_place() {
        let passwd = "root:x:0:0::/root:/bin/sh\njane:x:1000:0::/home/jane:/bin/sh\n";
        assert_eq!(name_in_passwd(passwd, 1000).as_deref(), Some("jane"));
        assert_eq!(name_in_passwd(passwd, 7), None);
    }
}
