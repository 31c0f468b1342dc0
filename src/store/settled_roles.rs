//! What the query for settled accounts must know of the policy, as data: for each group of the
//! snapshot the first rule that is about it, and for each key what the groups of its person give.

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Executor as _};

use super::StoreError;
use super::snapshot::role_code;
use crate::domain::{GroupName, SiteRole};
use crate::rules::Policy;

/// Rows inserted with one statement.
const ROWS: usize = 500;

/// The tables of one connection for one plan.
pub(super) const TABLES: &str = "
DROP TABLE IF EXISTS temp.rules;
DROP TABLE IF EXISTS temp.entitled;
DROP TABLE IF EXISTS temp.thought;
-- Of each group the number of the first rule about it (null: none), the code of the rule's role,
-- and whether scope.required_groups names it.
CREATE TEMP TABLE rules (
    grp INTEGER PRIMARY KEY, number INTEGER, role INTEGER, required INTEGER NOT NULL);
-- Of each key the code of the role that the first rule gives (null: none is about the person), and
-- whether the person is in a required group.
CREATE TEMP TABLE entitled (
    key TEXT PRIMARY KEY, role INTEGER, required INTEGER NOT NULL) WITHOUT ROWID;
-- The keys that need thought.
CREATE TEMP TABLE thought (key TEXT PRIMARY KEY) WITHOUT ROWID;";

/// Fills `temp.entitled`. A key of several people does not matter: it is never settled. The number of
/// a rule stands above the code of its role, so that the smallest sum names the first rule.
pub(super) const ENTITLED: &str = "
INSERT INTO temp.entitled (key, role, required)
SELECT p.key, min(r.number * 8 + r.role) % 8, max(r.required)
FROM main.memberships m CROSS JOIN temp.rules r ON r.grp = m.grp
CROSS JOIN main.people p ON p.rowid = m.person
WHERE p.key IS NOT NULL AND p.kind = 0 AND (r.required OR r.number IS NOT NULL)
GROUP BY p.key";

/// Fills the tables `temp.rules` and `temp.entitled` of this connection.
pub(super) async fn load_rules(
    connection: &mut SqliteConnection,
    policy: &Policy,
) -> Result<(), StoreError> {
    connection.execute(TABLES).await?;
    let groups: Vec<(i64, String)> = sqlx::query_as("SELECT id, name FROM main.groups")
        .fetch_all(&mut *connection)
        .await?;
    for groups in groups.chunks(ROWS) {
        let statement = format!(
            "INSERT INTO temp.rules (grp, number, role, required) VALUES {}",
            vec!["(?, ?, ?, ?)"; groups.len()].join(", ")
        );
        let mut insert = sqlx::query(AssertSqlSafe(statement));
        for (id, name) in groups {
            let name = GroupName::new(name.clone());
            let first = (1_i64..)
                .zip(&policy.roles.rules)
                .filter(|_| policy.roles.managed)
                .find(|(_, rule)| rule.group.matches(&name));
            insert = insert
                .bind(id)
                .bind(first.map(|(number, _)| number))
                .bind(first.map(|(_, rule)| role_code(rule.role)))
                .bind(policy.required_groups.contains(&name));
        }
        insert.execute(&mut *connection).await?;
    }
    connection.execute(ENTITLED).await?;
    Ok(())
}

/// The code of a role's name in SQL, 0 for any other name.
pub(super) fn code_of(column: &str) -> String {
    let cases: Vec<String> = SiteRole::ALL
        .iter()
        .copied()
        .map(|role| format!("WHEN '{role}' THEN {}", role_code(role)))
        .collect();
    format!("CASE {column} {} ELSE 0 END", cases.join(" "))
}
