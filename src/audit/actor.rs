//! Who wrote an entry.

use std::fmt;

/// The machine, the user and the program that write to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The machine's name.
    pub host: String,
    /// `uid:N`, and the name beside it where `/etc/passwd` has one: `uid:1000 (jane)`.
    pub user: String,
    /// The program's version.
    pub version: String,
}

impl Actor {
    /// This process. The kernel says who it is; the environment is never asked, because whoever
    /// starts the program chooses what a variable says.
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
    let uid = rustix::process::getuid().as_raw();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    user_of(uid, &passwd)
}

fn user_of(uid: u32, passwd: &str) -> String {
    match name_in_passwd(passwd, uid) {
        Some(name) => format!("uid:{uid} ({name})"),
        None => format!("uid:{uid}"),
    }
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
        assert_eq!(user_of(1000, passwd), "uid:1000 (jane)");
        assert_eq!(user_of(7, passwd), "uid:7");
    }
}
