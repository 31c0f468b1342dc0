//! One report per way a run can end, and one that is full of texts nobody should trust.

use chrono::{TimeZone as _, Utc};
use rolecall::domain::{
    ActionKind, ActionReport, ActionStatus, DecisionRecords, Evidence, Finding, FindingKind, Guard,
    GuardReport, History, Mode, OpaCounts, OpseraCounts, OpseraId, Origin, Outcome, PlanId, Report,
    RunId, SCHEMA, StoreReport, Summary, WaitingReport, time::Timestamp,
};

pub(crate) fn at(minute: u32) -> Timestamp {
    Utc.with_ymd_and_hms(2026, 3, 1, 8, minute, 0).unwrap()
}

pub(crate) fn in_sync() -> Report {
    Report {
        schema: SCHEMA.to_owned(),
        run_id: RunId::new("5f0c2f9e-0000-4000-8000-000000000001"),
        plan_id: Some(PlanId::new("e3b0c44298fc")),
        mode: Mode::Apply,
        outcome: Outcome::InSync,
        started_at: at(0),
        finished_at: at(1),
        audit_head: Some("ab".repeat(32)),
        origin: Origin {
            team: Some("example".to_owned()),
            opa_url: Some("https://example.pam.okta.com/".to_owned()),
            opsera_url: Some("https://app.opsera.io/".to_owned()),
            host: Some("jobs-1".to_owned()),
            actor: Some("rolecall".to_owned()),
            version: Some("0.1.0".to_owned()),
            settings_digest: Some("cd".repeat(32)),
            store: Some(StoreReport {
                path: "/var/lib/rolecall/rolecall.db".to_owned(),
                history: History::Present,
            }),
        },
        rejection: None,
        approval: None,
        failed_on: None,
        opa: OpaCounts {
            users: 260,
            active: 240,
            disabled: 9,
            deleted: 8,
            service: 3,
            requests: 5,
            complete: true,
        },
        opsera: OpseraCounts {
            users: 250,
            managed: 240,
            requests: 1,
            complete: true,
        },
        summary: Summary {
            unchanged: 240,
            ..Summary::default()
        },
        guards: vec![],
        actions: vec![],
        waiting: vec![],
        findings: vec![],
        error: None,
    }
}

pub(crate) fn action(kind: ActionKind, email: &str, status: ActionStatus) -> ActionReport {
    let role = |role: &str| Some(role.to_owned());
    ActionReport {
        kind,
        email: email.to_owned(),
        opsera_id: (kind != ActionKind::Create).then(|| OpseraId::new("507f1f77bcf86cd799439011")),
        from: None,
        to: match kind {
            ActionKind::SetRole => role("PowerUsers"),
            ActionKind::Create => role("Users"),
            ActionKind::Deactivate => None,
        },
        reason: match kind {
            ActionKind::SetRole => "rule 2: opsera-power".to_owned(),
            ActionKind::Create => "entitled, no account".to_owned(),
            ActionKind::Deactivate => "disabled".to_owned(),
        },
        status,
        attempts: 0,
        message: None,
        evidence: DecisionRecords::default(),
    }
}

pub(crate) fn dry_run() -> Report {
    Report {
        mode: Mode::DryRun,
        outcome: Outcome::ChangesPending,
        plan_id: Some(PlanId::new("0123456789ab")),
        summary: Summary {
            unchanged: 235,
            deactivate: 1,
            set_role: 2,
            create: 1,
            waiting: 1,
            protected: 1,
            unmanaged: 0,
            refused: 0,
            findings: 1,
        },
        guards: vec![guard(Guard::MaxDeactivations, 1, 25, false)],
        actions: vec![
            ActionReport {
                from: Some("Users".to_owned()),
                ..action(
                    ActionKind::SetRole,
                    "ada@example.com",
                    ActionStatus::Planned,
                )
            },
            action(
                ActionKind::SetRole,
                "bob@example.com",
                ActionStatus::Planned,
            ),
            action(
                ActionKind::Create,
                "cleo@example.com",
                ActionStatus::Planned,
            ),
            ActionReport {
                evidence: serde_json::json!({ "opa_records": [
                    { "id": "b1e6", "name": "dan.novak", "status": "DISABLED", "email": "dan@example.com" }
                ] })
                .into(),
                ..action(
                    ActionKind::Deactivate,
                    "dan@example.com",
                    ActionStatus::Planned,
                )
            },
        ],
        waiting: vec![WaitingReport {
            email: "eve@example.com".to_owned(),
            opsera_id: OpseraId::new("507f1f77bcf86cd799439012"),
            reason: Evidence::Absent,
            since: at(0),
            due: at(59),
        }],
        findings: vec![Finding {
            kind: FindingKind::Renamed,
            email: "fay@example.com".to_owned(),
            detail: "fay@example.com is now fay.smith@example.com".to_owned(),
        }],
        ..in_sync()
    }
}

pub(crate) fn guard(guard: Guard, actual: u64, limit: u64, held: bool) -> GuardReport {
    GuardReport {
        guard,
        limit,
        actual,
        held,
        basis: None,
        approved_by_plan: None,
        concerned: vec![],
    }
}

pub(crate) fn held() -> Report {
    let people: Vec<String> = (0..26).map(|n| format!("p{n:02}@example.com")).collect();
    Report {
        outcome: Outcome::Held,
        plan_id: Some(PlanId::new("0123456789ab")),
        summary: Summary {
            unchanged: 214,
            deactivate: 26,
            ..Summary::default()
        },
        guards: vec![
            GuardReport {
                basis: Some("10 % of 240 managed accounts".to_owned()),
                concerned: people.iter().map(|email| email.as_str().into()).collect(),
                ..guard(Guard::MaxDeactivationsPercent, 26, 24, true)
            },
            GuardReport {
                approved_by_plan: Some(PlanId::new("ba9876543210")),
                ..guard(Guard::MaxRoleChanges, 101, 100, false)
            },
        ],
        actions: people
            .iter()
            .map(|email| action(ActionKind::Deactivate, email, ActionStatus::Held))
            .collect(),
        ..in_sync()
    }
}

pub(crate) fn failed() -> Report {
    Report {
        outcome: Outcome::Failed,
        plan_id: None,
        opsera: OpseraCounts {
            requests: 5,
            ..OpseraCounts::default()
        },
        summary: Summary::default(),
        error: Some("could not list the Opsera users: no answer from app.opsera.io".to_owned()),
        ..in_sync()
    }
}

pub(crate) fn partial() -> Report {
    Report {
        outcome: Outcome::Partial,
        plan_id: Some(PlanId::new("0123456789ab")),
        actions: vec![
            ActionReport {
                attempts: 1,
                ..action(
                    ActionKind::SetRole,
                    "ada@example.com",
                    ActionStatus::Succeeded,
                )
            },
            ActionReport {
                attempts: 5,
                message: Some("Opsera answered 503 five times".to_owned()),
                ..action(
                    ActionKind::Deactivate,
                    "bob@example.com",
                    ActionStatus::Failed,
                )
            },
            ActionReport {
                attempts: 1,
                message: Some("transfer ownership of 2 pipelines first".to_owned()),
                ..action(
                    ActionKind::Deactivate,
                    "cyd@example.com",
                    ActionStatus::Rejected,
                )
            },
        ],
        ..in_sync()
    }
}

pub(super) const ATTACKS: [&str; 8] = [
    "=cmd|'/c calc'!A1",
    "<script>alert(1)</script>",
    "\u{1b}[2J\u{1b}]0;owned\u{7}jane@example.com",
    "\u{202e}moc.elpmaxe@enaj\u{202c}",
    "two\r\nlines\tand | pipes \\| and `ticks`",
    "[click](https://evil.example) ![x](https://evil.example/x.png) @octocat **b** _i_",
    "\"><img src=x onerror=alert(1)>",
    " @SUM(1,\"2\")",
];

pub(crate) fn hostile() -> Report {
    Report {
        actions: ATTACKS
            .iter()
            .map(|text| ActionReport {
                from: Some((*text).to_owned()),
                reason: (*text).to_owned(),
                message: Some((*text).to_owned()),
                ..action(ActionKind::SetRole, text, ActionStatus::Planned)
            })
            .collect(),
        findings: ATTACKS
            .iter()
            .map(|text| Finding {
                kind: FindingKind::InvalidEmail,
                email: (*text).to_owned(),
                detail: (*text).to_owned(),
            })
            .collect(),
        guards: vec![GuardReport {
            concerned: ATTACKS.iter().map(|text| (*text).into()).collect(),
            ..guard(Guard::MaxRoleChanges, 8, 1, true)
        }],
        error: Some(ATTACKS.concat()),
        ..held()
    }
}
