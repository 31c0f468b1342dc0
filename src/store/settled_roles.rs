//! What the query for settled accounts must know of the policy: for each group of the snapshot the
//! first rule that is about it, as data.

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Executor as _};

use super::StoreError;
use super::snapshot::role_code;
use crate::domain::{GroupName, SiteRole};
use crate::rules::Policy;

/// Rows inserted with one statement.
const ROWS: usize = 500;

/// Fills the table `temp.rules` of this connection: `grp`, the number of the first rule about the
/// group (null: none), the code of the rule's role, and whether `scope.required_groups` names it.
pub(super) async fn load_rules(
    connection: &mut SqliteConnection,
    policy: &Policy,
) -> Result<(), StoreError> {
    connection
        .execute(
            "DROP TABLE IF EXISTS temp.rules;
             CREATE TEMP TABLE rules (grp INTEGER PRIMARY KEY, number INTEGER, role INTEGER,
                                      required INTEGER NOT NULL)",
        )
        .await?;
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
